import type { Store } from '../artifact/store/store.ts';
import { byteProgress, type Progress } from './progress.ts';
import { engineOptions } from './serve-options.ts';
import { draftOf, type ServeSettings } from './settings/serve-settings.ts';

/** Milliseconds that requests which waited for a model have before what its loading left behind is cleared away. */
const garbageAfterMs = 1_000;

/**
 * Loads the first model and answers requests until told to stop; then running requests may end.
 * @param onReady told the server's URL once the model can answer
 */
export async function serveModels(
  settings: ServeSettings,
  stopped: AbortSignal,
  onReady?: (url: string) => void,
): Promise<void> {
  const { keepHeapSmall } = await import('../functions/small-heap.ts');
  keepHeapSmall();
  const { openStore } = await import('../artifact/store/open.ts');
  const { prefetch } = await import('../artifact/models/prefetch.ts');
  const store = await openStore(settings.store);
  const failed = new AbortController();
  const [first] = settings.model ?? [];
  const { cacheFolder, cacheBytes, promptWeights } = engineOptions(settings);
  const signal = AbortSignal.any([stopped, failed.signal]);
  try {
    // The first model's bytes travel while the rest of the program is read, which takes as long as some of them.
    if (first) {
      await prefetch(store, first.name, { cacheFolder, cacheBytes, promptWeights, signal });
      const draft = draftOf(settings.draft, first.name);
      if (draft) await prefetch(store, draft, { cacheFolder, cacheBytes, promptWeights: 'same', signal });
    }
    await serveFrom(store, settings, stopped, onReady);
  } catch (error) {
    failed.abort();
    throw error;
  }
}

async function serveFrom(
  store: Store,
  settings: ServeSettings,
  stopped: AbortSignal,
  onReady?: (url: string) => void,
): Promise<void> {
  const { collectGarbage } = await import('../functions/small-heap.ts');
  const { StoredModels } = await import('../functions/gateway/stored-models.ts');
  const gateway = await import('../functions/gateway/serve.ts');

  const { slots, prefixCache: prefixCacheBytes, context: contextLength, storedPrefixes } = settings;
  const engine = {
    ...engineOptions(settings),
    slots,
    storedPrefixes,
    ...(prefixCacheBytes !== undefined && { prefixCacheBytes }),
    ...(contextLength && { contextLength }),
  };
  const { access } = await import('./access.ts');
  const { telemetry } = await import('./telemetry.ts');
  const observed = await telemetry(settings);
  const { log, metrics } = observed;
  const { keys, limits, redis } = await access(settings, stopped, (error) =>
    log.warn(error.message, { error }),
  );
  let wasReady = false;
  const shown = new Map<string, Progress>();
  const finish = (name: string) => {
    shown.get(name)?.finish();
    shown.delete(name);
  };
  const models = await StoredModels.open(store, {
    load: engine,
    models: settings.model,
    draftOf: (name) => draftOf(settings.draft, name),
    memoryBytes: settings.memory,
    refreshMs: settings.refresh,
    onProgress(name, done, total) {
      if (!observed.isText) return;
      if (!shown.has(name)) shown.set(name, byteProgress());
      shown.get(name)!.update(`Fetching ${name}`, done, total);
    },
    onFetched: (name, { kind, bytes }, ms) => metrics.fetched(name, kind, bytes, ms / 1000),
    onLoaded({ name, version, draft }, { ms, bytes }) {
      finish(name);
      setTimeout(collectGarbage, garbageAfterMs).unref();
      metrics.loaded(name, ms / 1000);
      const drafts = draft ? ` ${draft.name} drafts for it.` : '';
      const line = `${name} is loaded, version ${version.slice(0, 12)}, in ${ms.toFixed(0)} ms.${drafts}`;
      const fields = { model: name, version, ms: Math.round(ms), bytes };
      if (wasReady) log.info(line, fields);
      else log.debug(line, fields); // a line of its own follows
    },
    onUnloaded({ name, version }) {
      if (stopped.aborted) return; // all of them, as everybody expects
      log.info(`${name} is unloaded, version ${version.slice(0, 12)}.`, { model: name, version });
    },
    onPrefixFailure: (name, error) => log.warn(`${name}: ${error.message}`, { model: name, error }),
    onFailure(name, error) {
      finish(name);
      if (wasReady) log.warn(`${name}: ${error.message}`, { model: name, error });
    },
  });
  const server = await gateway.serve(models, {
    host: settings.host,
    port: settings.port,
    drainMs: settings.drain,
    keys,
    limits,
    metrics,
    observers: observed.observers,
    observeTexts: settings.logPrompts,
    corsOrigins: settings.cors,
    maxBodyBytes: settings.maxBody,
    maxPromptTokens: settings.maxPrompt,
    deadlineMs: settings.deadline,
    maxCompletions: slots + settings.queue,
    onError: (error) => log.error(error instanceof Error ? error.message : String(error), { error }),
  });
  log.info(`Listening on ${server.url}`);
  try {
    // A model that cannot be loaded at the start is a mistake to be told of; later ones are tried again.
    const model = await Promise.race([models.first!.load().catch(withoutWrapping), aborted(stopped)]);
    wasReady = true;
    if (model) {
      const { contextLength } = model.engine.limits;
      const drafts = model.draft ? ` ${model.draft.name} drafts for it.` : '';
      log.info(`${model.name} is ready: ${server.url}/v1, context ${contextLength} tokens.${drafts}`);
      onReady?.(server.url);
      if (settings.preload) for (const service of models.services) service.load().catch(() => {});
    }
    await aborted(stopped);
    if (server.running > 0) log.info(`Stopping; ${server.running} requests are still running.`);
  } finally {
    await server.close();
    await redis?.[Symbol.asyncDispose]();
    await observed[Symbol.asyncDispose]();
  }
}

/** The service says for its clients which model it was; here it is the first one. */
function withoutWrapping(error: Error): never {
  throw error.cause ?? error;
}

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
}
