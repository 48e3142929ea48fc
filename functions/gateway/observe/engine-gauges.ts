import type { EngineStats } from '../../engine/engine.ts';
import type { ModelRegistry } from '../model-registry.ts';
import type { ModelService } from '../model-service.ts';
import { asType, type MetricSet } from './prometheus-client.ts';

/** Milliseconds to wait for an engine's numbers: one that hangs must not take the others' metrics along. */
const statsDeadlineMs = 1_000;

/** What the engines do at this moment. @returns looks at them */
export function engineGauges(set: MetricSet) {
  // The Kubernetes Gateway API Inference Extension asks for these by vLLM's names.
  const twice = (name: string, help: string) =>
    ['foldgate', 'vllm'].map((prefix) => set.gauge(`${prefix}:${name}`, help));
  const running = twice('num_requests_running', 'Completions that have a slot.');
  const waiting = twice('num_requests_waiting', 'Completions that wait for the model or a slot.');
  const kvUse = twice('kv_cache_usage_perc', 'Share of the KV cache in use, 0 to 1.');
  const kvBytes = set.gauge('foldgate:kv_cache_bytes', 'Memory of the KV cache in use.');
  const kvTokens = set.gauge('foldgate:kv_cache_tokens', 'Tokens in the KV cache.');
  const loaded = set.gauge('foldgate:model_loaded', 'Versions that requests get.', ['model_name', 'version']);
  const queries = set.gauge(
    'foldgate:prefix_cache_queries_total',
    'Prompt tokens looked for in the prefix cache.',
  );
  const hits = set.gauge('foldgate:prefix_cache_hits_total', 'Those that were found.');
  const storedHits = set.gauge(
    'foldgate:stored_prefix_hits_total',
    'Of those, the ones in prefixes from the store.',
  );
  const guesses = (name: string, help: string) =>
    set.gauge(`foldgate:spec_decode_num_${name}_total`, help, ['model_name', 'method']);
  const drafts = guesses('drafts', "Times that a lone request's next tokens were guessed.");
  const draftTokens = guesses('draft_tokens', 'Tokens guessed.');
  const acceptedTokens = guesses('accepted_tokens', 'Guessed tokens that came true.');
  const counters = [queries, hits, storedHits, drafts, draftTokens, acceptedTokens];
  for (const counter of counters) asType(counter, 'counter');

  /** @param asked completions that requests ask of it */
  async function lookAt(service: ModelService, asked: number): Promise<void> {
    const labels = { model_name: service.name };
    const stats = await statsOf(service);
    const active = stats?.running ?? 0;
    for (const metric of running) metric.set(labels, active);
    for (const metric of waiting) metric.set(labels, Math.max(stats?.waiting ?? 0, asked - active));
    for (const metric of kvUse)
      metric.set(labels, stats?.kvLimitBytes ? stats.kvBytes / stats.kvLimitBytes : 0);
    kvBytes.set(labels, stats?.kvBytes ?? 0);
    kvTokens.set(labels, stats?.kvTokens ?? 0);
    if (stats) {
      queries.set(labels, stats.prefixQueries);
      hits.set(labels, stats.prefixHits);
      storedHits.set(labels, stats.storedPrefixHits);
      for (const [method, counts] of Object.entries(stats.speculation)) {
        drafts.set({ ...labels, method }, counts.drafts);
        draftTokens.set({ ...labels, method }, counts.tokens);
        acceptedTokens.set({ ...labels, method }, counts.accepted);
      }
    }
    if (service.loaded) loaded.set({ ...labels, version: service.loaded.version.slice(0, 12) }, 1);
  }

  return async (models: ModelRegistry, asked: (model: object) => number): Promise<void> => {
    loaded.reset();
    await Promise.all(models.services.map((service) => lookAt(service, asked(service))));
  };
}

async function statsOf({ loaded }: ModelService): Promise<EngineStats | undefined> {
  if (!loaded?.engine.stats) return undefined;
  const late = Promise.withResolvers<undefined>();
  const timer = setTimeout(late.resolve, statsDeadlineMs, undefined);
  try {
    return await Promise.race([loaded.engine.stats(), late.promise]);
  } catch {
    return undefined; // it failed, and is being loaded anew
  } finally {
    clearTimeout(timer);
  }
}
