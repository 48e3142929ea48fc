import type { Log } from './log.ts';
import type { RequestObserver } from './observer.ts';
import type { RequestRecord } from './request-record.ts';

/** Asked for every few seconds, by machines. */
const probes = new Set(['/healthz', '/readyz', '/metrics']);

/** One line a request, when it is over. */
export function requestLog(log: Log): RequestObserver {
  return {
    end(record) {
      const write = probes.has(record.route) ? log.debug : record.status >= 500 ? log.warn : log.info;
      write(lineOf(record), fieldsOf(record));
    },
  };
}

/** `POST /v1/completions 200 in 412 ms: tales, 12 + 100 tokens` */
function lineOf({ method, route, status, ms, error, generation }: RequestRecord): string {
  const outcome = `${method} ${route} ${status}${error ? ` (${error})` : ''} in ${ms.toFixed(0)} ms`;
  if (!generation) return outcome;
  return `${outcome}: ${generation.model}, ${generation.promptTokens} + ${generation.completionTokens} tokens`;
}

function fieldsOf({ requestId, method, route, status, caller, ms, error, generation, texts }: RequestRecord) {
  const first = generation?.completions[0]?.timings;
  return {
    request_id: requestId,
    method,
    route,
    status,
    ms: Math.round(ms),
    ...(caller !== '' && { key: caller }),
    ...(error !== undefined && { code: error }),
    ...(generation && {
      model: generation.model,
      stream: generation.stream,
      prompt_tokens: generation.promptTokens,
      completion_tokens: generation.completionTokens,
      cached_tokens: generation.cachedTokens,
      finish: generation.completions.map(({ finish }) => finish),
      ...(first && {
        queue_ms: Math.round(generation.loadMs + first.queue),
        prefill_ms: Math.round(first.prefill),
        decode_ms: Math.round(first.decode),
      }),
    }),
    ...(texts && { asked: texts.asked, answered: texts.answered }),
  };
}
