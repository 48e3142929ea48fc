import { byteProgress } from './progress.ts';
import { engineOptions, type ListenFlags } from './serve-options.ts';

export interface ServeFlags extends ListenFlags {
  store: string;
  model: string;
}

/**
 * Loads a model and answers requests until told to stop; then running requests may end.
 * @param onReady told the server's URL once the model can answer
 */
export async function serveModel(
  flags: ServeFlags,
  stopped: AbortSignal,
  onReady?: (url: string) => void,
): Promise<void> {
  const { collectGarbage, keepHeapSmall } = await import('../functions/small-heap.ts');
  keepHeapSmall();
  const { openStore } = await import('../artifact/store/open.ts');
  const { loadModel } = await import('../functions/model/load-model.ts');
  const { createModelService } = await import('../functions/gateway/model-service.ts');
  const gateway = await import('../functions/gateway/serve.ts');

  const { slots, prefixCache: prefixCacheBytes, context: contextLength } = flags;
  const engine = {
    ...engineOptions(flags),
    slots,
    ...(prefixCacheBytes !== undefined && { prefixCacheBytes }),
    ...(contextLength && { contextLength }),
  };
  const store = await openStore(flags.store);
  let wasReady = false;
  const log = (line: string) => process.stderr.write(`${line}\n`);
  const service = createModelService({
    name: flags.model,
    async load(signal) {
      const show = byteProgress();
      const onProgress = (done: number, total: number) => show.update('Fetching the model', done, total);
      try {
        return await loadModel(store, flags.model, { ...engine, signal, onProgress });
      } finally {
        show.finish();
      }
    },
    onFailure(error) {
      if (wasReady) log(`Model ${flags.model}: ${error.message}`);
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
    if (model) {
      collectGarbage();
      log(`${model.name} is ready: ${server.url}/v1, context ${model.engine.limits.contextLength} tokens.`);
      onReady?.(server.url);
    }
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
