import type { Finish } from '../../model/generate.ts';
/** What is known of a request when it is over. */
export interface RequestRecord {
  requestId: string;
  method: string;
  /** The route, not the address: `/v1/models/:id`. */
  route: string;
  /** Of the answer's head; a stream may fail after it. */
  status: number;
  /** The key's name; '' on a server without keys. */
  caller: string;
  /** Milliseconds from the request's head to its end. */
  ms: number;
  /** The error's code, where there was one. */
  error?: string | undefined;
  generation?: GenerationRecord | undefined;
  /** Only where the server was told to log them. */
  texts?: RequestTexts | undefined;
}

export interface RequestTexts {
  /** The prompt or the messages, as they came. */
  asked: unknown;
  /** Each completion. */
  answered: string[];
}

export interface GenerationRecord {
  /** The model's own name, whatever alias was used. */
  model: string;
  /** OpenTelemetry's word for the kind of request: `chat`, `text_completion`. */
  operation: string;
  stream: boolean;
  /** Completions asked for. */
  choices: number;
  promptTokens: number;
  completionTokens: number;
  cachedTokens: number;
  /** Asked for, of each completion. */
  maxTokens: number;
  /** Milliseconds that it waited for the model to load. */
  loadMs: number;
  /** Each completion that ran to its end. */
  completions: CompletionRecord[];
}

export interface CompletionRecord {
  finish: Finish;
  tokens: number;
  /** Milliseconds. */
  timings?: { queue: number; prefill: number; decode: number } | undefined;
}

/** Milliseconds of a completion as its client has them: waiting for the model to load is waiting in the queue. */
export interface Latency {
  queue: number;
  firstToken: number;
  /** Of each token after the first; undefined where there is none. */
  perToken: number | undefined;
}

/** @returns undefined for a completion that was not timed */
export function latencyOf(
  { loadMs }: Pick<GenerationRecord, 'loadMs'>,
  { tokens, timings }: CompletionRecord,
): Latency | undefined {
  if (!timings) return undefined;
  const queue = loadMs + timings.queue;
  return {
    queue,
    firstToken: queue + timings.prefill,
    perToken: tokens > 1 ? timings.decode / (tokens - 1) : undefined,
  };
}
