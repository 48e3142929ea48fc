/** What CDK runs to synthesise: reads the settings, bundles the function, adds the stacks. */
import { join } from 'node:path';
import { App } from 'aws-cdk-lib';
import { bundleFunction } from '../lambda/bundle.ts';
import { addChecks } from './accepted.ts';
import { readSettings } from './settings.ts';
import { addStacks } from './stacks.ts';

const app = new App();
const settings = await readSettings((key) => app.node.tryGetContext(key));
const architecture = settings.architecture === 'arm64' ? 'arm64' : 'x64';
const folder = join(import.meta.dirname, '../../.cache/infra', `function-${architecture}`);
addStacks(app, settings, await bundleFunction(folder, architecture));
if (settings.checks) addChecks(app);
app.synth();
