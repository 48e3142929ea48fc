/** What one request came to, seen from the client; milliseconds. */
export interface Outcome {
  kind: string;
  /** From when it should have been sent, so that a client that is late hides nothing. */
  latencyMs: number;
  /** Until the first text arrived; of answers that are not streamed, unknown. */
  ttftMs?: number;
  /** Mean time between tokens after the first; unknown of answers that are not streamed or too short. */
  interTokenMs?: number;
  /** Each wait between two pieces of text: shows stalls that a mean hides. */
  gapsMs: number[];
  promptTokens: number;
  cachedTokens: number;
  tokens: number;
  server?: ServerTimings;
  /** Why there is no answer. */
  error?: string;
}

/** The server's own account, from the answer's `timings`; of other servers unknown. */
export interface ServerTimings {
  ttftMs: number;
  interTokenMs?: number;
}

interface TimingsField {
  queue_ms?: number;
  prefill_ms?: number;
  decode_ms?: number;
}

/** Reads `timings` as Foldgate writes them; k6 does the same with the same function. */
export function serverTimings(timings: TimingsField | undefined, tokens: number): ServerTimings | undefined {
  const { queue_ms, prefill_ms, decode_ms } = timings ?? {};
  if (queue_ms === undefined || prefill_ms === undefined || decode_ms === undefined) return undefined;
  return {
    ttftMs: queue_ms + prefill_ms,
    ...(tokens > 1 && { interTokenMs: decode_ms / (tokens - 1) }),
  };
}
