import { readFile } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { Command } from 'commander';
import { InvalidDataError, NotFoundError } from '../../artifact/errors.ts';
import packageJson from '../../package.json' with { type: 'json' };
import { foldInto } from '../fold-into.ts';
import { addFoldOptions, decidesPlan, type FoldFlags, recordedOptions } from '../fold-options.ts';
import { packageRoot } from '../package-root.ts';
import { pullWithProgress } from '../pull-checkpoint.ts';
import { serveModels } from '../serve-models.ts';
import { addSettings, givenFlags, readSettings } from '../settings/read-settings.ts';
import { serverSettings } from '../settings/serve-settings.ts';
import { interruptSignal } from '../signal.ts';

interface Flags extends FoldFlags {
  checkpoint?: string;
  store: string;
  name?: string;
}

/**
 * Trained to run with neighbours' blocks and without some layers, so it needs no cure. Its plan is FoldGPT's: gates found
 * the layers that go, on stories; which layers share was measured.
 */
const bundled = { path: ['checkpoints', 'tales-5m'], plan: 'fold-plan.json', share: 2, quantize: 'int8' };

/**
 * What a checkpoint that was not trained for it bears without a cure: removing a tenth of the layers.
 * Sharing blocks ruins it.
 */
const foreign = { remove: 0.1, share: 1 };

export function startCommand(): Command {
  const command = addFoldOptions(new Command('start'))
    .description('fold a checkpoint, unless that was done before, and serve it')
    .option(
      '--checkpoint <path>',
      'hf:ORG/NAME, Hugging Face folder or GGUF file (default: the bundled model)',
    )
    .option('--store <url>', 'where folded models are kept', './models')
    .option('--name <name>', "the model's name (default: the checkpoint's)");
  return addSettings(command, serverSettings)
    .addHelpText(
      'after',
      `
Where nothing is said of how to fold, the bundled model is folded by the plan beside it: two of its twelve layers go,
found by gates, and the others share six blocks. Another checkpoint loses a tenth of its layers unless --remove or --share
is given.

Examples:
  npm start
  npm start -- --checkpoint hf:HuggingFaceTB/SmolLM2-135M-Instruct
  npm start -- --checkpoint model.gguf --remove 0.2`,
    )
    .action(async (flags: Flags, command: Command) => {
      const sources = { flags: givenFlags(command), environment: process.env };
      const settings = await readSettings(serverSettings, sources);
      const signal = interruptSignal();
      const given = (option: string) => command.getOptionValueSource(option) !== 'default';
      const own = flags.checkpoint === undefined;
      if (own && !decidesPlan(command)) flags.plan = join(packageRoot(), ...bundled.path, bundled.plan);
      if (!given('remove') && !given('share')) {
        Object.assign(flags, own ? { share: bundled.share } : foreign);
      }
      if (own && !given('quantize')) flags.quantize = bundled.quantize;
      const path = await checkpointPath(flags.checkpoint, signal);
      const name = flags.name ?? nameOf(flags.checkpoint ?? path);
      await foldOnce(path, name, flags, signal);
      const model = [{ id: name, name }];
      const all = { ...settings, store: flags.store, model, draft: undefined };
      await serveModels(all, signal, (url) => greet(url, name, own));
    });
}

async function checkpointPath(checkpoint: string | undefined, signal: AbortSignal): Promise<string> {
  if (checkpoint === undefined) return join(packageRoot(), ...bundled.path);
  if (!checkpoint.startsWith('hf:')) return resolve(checkpoint);
  return pullWithProgress(checkpoint, { signal });
}

/** `hf:ORG/SmolLM2-135M@main`, `models/SmolLM2-135M.gguf` -> `SmolLM2-135M` */
function nameOf(checkpoint: string): string {
  const name = basename(checkpoint.replace(/@[^/]*$/, '')).replace(/\.gguf$/i, '');
  return name.replace(/[^A-Za-z0-9._-]+/g, '-').replace(/^[^A-Za-z0-9]+/, '') || 'model';
}

/** Folds unless the store has this model, folded from this checkpoint with these options. */
async function foldOnce(path: string, name: string, flags: Flags, signal: AbortSignal): Promise<void> {
  const { openStore } = await import('../../artifact/store/open.ts');
  const { readManifest } = await import('../../artifact/models/read.ts');
  const store = await openStore(flags.store);
  const wanted = { ...recordedOptions(flags), fingerprint: await fingerprintOf(path) };
  const published = await readManifest(store, name, { signal }).catch((error: unknown) => {
    if (error instanceof NotFoundError) return undefined;
    if (!(error instanceof InvalidDataError)) throw error;
    process.stderr.write(`${error.message}\nFolding ${name} again.\n`);
    return undefined;
  });
  const { version, options } = published?.manifest.folding ?? {};
  const { plan, ...folded } = options ?? {};
  const asPlanned = flags.plan === undefined || isDeepStrictEqual(plan, await readJson(flags.plan));
  if (version === packageJson.version && asPlanned && isDeepStrictEqual(folded, wanted)) {
    process.stderr.write(`${name} is folded already, in ${flags.store}.\n`);
    return;
  }
  await foldInto(path, { store, name }, flags, { options: wanted, quality: true, signal });
}

async function readJson(path: string): Promise<unknown> {
  return JSON.parse(await readFile(path, 'utf8'));
}

/** Tells whether the checkpoint is still the one that was folded. */
async function fingerprintOf(path: string): Promise<string> {
  const { openCheckpoint } = await import('../../compressor/checkpoint/open.ts');
  const { fingerprint } = await import('../../compressor/checkpoint/fingerprint.ts');
  const checkpoint = await openCheckpoint(path);
  await checkpoint.close();
  return await fingerprint(checkpoint);
}

function greet(url: string, name: string, story: boolean): void {
  const body = JSON.stringify({
    model: name,
    prompt: story ? 'Once upon a time' : 'The capital of France is',
    max_tokens: 100,
    temperature: 0.7,
  });
  process.stdout.write(`
Serving ${name} at ${url}/v1. Try it in a browser, ${url}/, or so:

  curl -N ${url}/v1/completions -H 'Content-Type: application/json' \\
    -d '${body.replace('}', ',"stream":true}')}'

Ctrl-C stops it.
`);
}
