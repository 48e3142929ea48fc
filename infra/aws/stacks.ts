import type { App } from 'aws-cdk-lib';
import { FoldingStack } from './folding-stack.ts';
import { ModelsStack } from './models-stack.ts';
import { ServingStack } from './serving-stack.ts';
import type { Settings } from './settings.ts';

const modelsStackName = 'FoldgateModels';
const foldingStackName = 'FoldgateFolding';

/** A stack of its own for each model: they come and go by themselves. */
function servingStackName(model: string): string {
  return `Foldgate-${model.replace(/[^A-Za-z0-9-]/g, '-')}`;
}

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
