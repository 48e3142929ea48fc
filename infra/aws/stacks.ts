import type { App } from 'aws-cdk-lib';
import { FoldingStack } from './folding-stack.ts';
import { ModelsStack } from './models-stack.ts';
import { foldingStackName, modelsStackName, servingStackName } from './names.ts';
import { ServingStack } from './serving-stack.ts';
import type { Settings } from './settings.ts';

/** Every stack that the settings ask for. @param code folder of the function's code */
export function addStacks(app: App, settings: Settings, code: string): void {
  const models = new ModelsStack(app, modelsStackName);
  const name = servingStackName(settings.served.name);
  const serving = new ServingStack(app, name, { settings, code });
  if (settings.served.bucket === undefined) serving.addStackDependency(models);
  const { foldingImage } = settings;
  if (foldingImage !== undefined) {
    new FoldingStack(app, foldingStackName, { settings: { ...settings, foldingImage } });
  }
}
