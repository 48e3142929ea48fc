import { Command, InvalidArgumentError } from 'commander';
import { parseInteger } from '../fold-options.ts';
import { formatBytes, progress } from '../progress.ts';
import { interruptSignal } from '../signal.ts';

interface Flags {
  store: string;
  model: string;
  host: string;
  port: number;
  slots: number;
  threads?: number;
  context?: number;
  cache?: string;
}

export function serveCommand(): Command {
  return new Command('serve')
    .summary('answer OpenAI requests with a model')
    .description(
      "Serves a model behind OpenAI's HTTP interface: /v1/completions, /v1/chat/completions, /v1/models.",
    )
    .requiredOption('--store <url>', 'where the model is: file:FOLDER, a plain path, or s3://BUCKET/PREFIX')
    .requiredOption('--model <name>', 'which one; requests name it too')
    .option(
      '--host <address>',
      'address to listen on; 0.0.0.0 to be reached from other machines',
      '127.0.0.1',
    )
    .option('--port <number>', 'port to listen on, 0 for a free one', parsePort, 8080)
    .option('--slots <count>', 'sequences that run at once; others wait', parsePositive, 4)
    .option('--threads <count>', 'threads of the model (default: the cores there are)', parsePositive)
    .option('--context <tokens>', "prompt and completion together (default: the model's own)", parsePositive)
    .option('--cache <folder>', 'where blobs are kept (default: $FOLDGATE_CACHE, else ~/.cache/foldgate)')
    .addHelpText(
      'after',
      `
/healthz answers as long as the process lives, /readyz once the model can answer. The first Ctrl-C or
SIGTERM lets running requests end, for up to 30 seconds.

Examples:
  foldgate serve --store ./models --model tales
  foldgate serve --store s3://bucket/team --model smol --host 0.0.0.0 --port 80 --slots 8`,
    )
    .action(serve);
}

async function serve(flags: Flags): Promise<void> {
  const { openStore } = await import('../../artifact/store/open.ts');
  const { loadModel } = await import('../../functions/gateway/load-model.ts');
  const { createModelService } = await import('../../functions/gateway/model-service.ts');
  const gateway = await import('../../functions/gateway/serve.ts');

  const { slots, threads, context: contextLength, cache: cacheFolder } = flags;
  const engine = { slots, ...(threads && { threads }), ...(contextLength && { contextLength }) };
  const stopped = interruptSignal();
  const store = await openStore(flags.store);
  let wasReady = false;
  const log = (line: string) => process.stderr.write(`${line}\n`);
  const service = createModelService({
    name: flags.model,
    async load(signal) {
      const show = progress({ format: (done, total) => `${formatBytes(done)} of ${formatBytes(total)}` });
      const onProgress = (done: number, total: number) => show.update('Fetching the model', done, total);
      try {
        return await loadModel(store, flags.model, { ...engine, cacheFolder, signal, onProgress });
      } finally {
        show.finish();
      }
    },
    onFailure(error) {
      if (wasReady) log(`The model failed: ${error.message}`);
    },
  });
  const server = await gateway.serve(service, {
    host: flags.host,
    port: flags.port,
    onError: (error) => log(`Error: ${error instanceof Error ? error.stack : String(error)}`),
  });
  log(`Listening on ${server.url}`);
  try {
    // A model that cannot be loaded at the start is a mistake to be told of; later ones are tried again.
    const model = await Promise.race([service.load().catch(withoutWrapping), aborted(stopped)]);
    wasReady = true;
    if (model)
      log(`${model.name} is ready: ${server.url}/v1, context ${model.engine.limits.contextLength} tokens.`);
    await aborted(stopped);
    if (server.running > 0) log(`Stopping; ${server.running} requests are still running.`);
  } finally {
    await server.close();
  }
}

/** The service says for its clients which model it was; here there is only one. */
function withoutWrapping(error: Error): never {
  throw error.cause ?? error;
}

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
}

function parsePositive(text: string): number {
  const value = parseInteger(text);
  if (value < 1) throw new InvalidArgumentError('1 or more is expected.');
  return value;
}

function parsePort(text: string): number {
  const value = parseInteger(text);
  if (value < 0 || value > 65_535) throw new InvalidArgumentError('A port from 0 to 65535 is expected.');
  return value;
}
