import type { CacheForm } from '../../artifact/decoder/decoder-options.ts';
import { FoldgateError } from '../../artifact/errors.ts';

/**
 * Generates tokens with one loaded model. Knows token ids only: text, templates and stop strings belong
 * to the gateway. The implementation runs in a worker thread; every method here is cheap for the caller.
 */
export interface Engine extends AsyncDisposable {
  readonly limits: EngineLimits;
  /**
   * Streams one completion. Chunks arrive as tokens are made; the last one carries `finish`.
   * Aborting `signal`, or leaving the loop, stops the generation within one token.
   * @throws EngineError where the worker or the model fails; GrammarError; RangeError for a prompt beyond the context.
   */
  generate(request: GenerationRequest, signal?: AbortSignal): AsyncIterable<GenerationChunk>;
  /**
   * What the engine does at this moment; answered between two steps. Absent where an engine does not tell.
   * @throws EngineError where the worker is gone.
   */
  stats?(): Promise<EngineStats>;
  /** Takes what was computed before. Absent where an engine does not. */
  readonly prefixes?: EnginePrefixes;
}

/** What an engine asks of keys and values that were computed before, by the same graph. */
export interface PrefixRoom {
  readonly form: CacheForm;
  /** Bytes that they may take, with those of past sequences. */
  readonly budgetBytes: number;
}

export interface EnginePrefixes {
  /**
   * Prompts that are given later and begin with these tokens begin with these keys and values, whatever their salt.
   * @param memory is taken over
   * @param onDrop called once, when they had to make room for others
   */
  keep(tokens: Int32Array, memory: ArrayBuffer, onDrop: () => void): void;
}

/** A snapshot of an engine, for metrics. Counters begin with the engine. */
export interface EngineStats {
  /** Sequences that have a slot. */
  running: number;
  /** Sequences that wait for one. */
  waiting: number;
  /** Tokens whose keys and values are in memory: those of sequences, and those kept for later ones. */
  kvTokens: number;
  /** Bytes that they take. */
  kvBytes: number;
  /** Bytes that they may take at most: `kvBytes` against it is the cache's use. */
  kvLimitBytes: number;
  /** Prompt tokens that were looked for among the kept prefixes. A counter. */
  prefixQueries: number;
  /** Those that were found there. A counter. */
  prefixHits: number;
  /** Of those, the ones in prefixes that were computed before the engine began. A counter. */
  storedPrefixHits: number;
  /** Guessed tokens. Counters. */
  speculation: SpeculationCounts;
}

/** By what guessed them: `ngram`, what stood in the text before; `draft_model`, a second model. */
export type SpeculationCounts = Record<'ngram' | 'draft_model', GuessCounts>;

export interface GuessCounts {
  /** Times that tokens were guessed. */
  drafts: number;
  /** Tokens guessed. */
  tokens: number;
  /** Those that came true. */
  accepted: number;
}

export interface EngineLimits {
  /** Tokens of prompt and completion together. */
  contextLength: number;
  vocabularySize: number;
}

export interface GenerationRequest {
  /** At least one token id. Requests may have one in common; it stays as it is from then on. */
  prompt: number[];
  /** Upper bound on generated tokens; also cut by the context length. */
  maxTokens: number;
  sampling: Sampling;
  /** Generation ends at any of these; the token itself is not delivered. */
  stopTokens: number[];
  /** Stop tokens are not taken before so many tokens were. @default 0 */
  minTokens?: number;
  /**
   * `each`: one chunk a token, for stop strings. `soon`: for streams; a chunk is held back while the last one
   * is younger than some milliseconds, so that quick models send several tokens a chunk. `end`: one chunk with
   * all tokens when done. A message takes time from the cores that make tokens.
   */
  delivery: 'each' | 'soon' | 'end';
  /** Report each token's log probability, and those of so many likeliest ones. @default none */
  logprobs?: number;
  /** Report those of the prompt's tokens as well; it is read anew for that. @default false */
  promptLogprobs?: boolean;
  /** What the tokens may be, for structured output. @default anything */
  grammar?: GrammarSource;
  /** Sequences reuse each other's computed prefixes only where this is the same. @default '' */
  cacheSalt?: string;
}

/** A language that the completion has to be in. Generation ends with it, or at `maxTokens`. */
export interface GrammarSource {
  /** In XGrammar's notation, from the rule `root` on. */
  ebnf: string;
  /** The text ends only where nothing else may follow, not where it could. @default false */
  longest?: boolean;
}

export interface Sampling {
  /** 0 (and whatever is below 1e-5) is greedy. @default 1 */
  temperature: number;
  /** Smallest set of tokens whose probabilities sum to this. @default 1 */
  topP: number;
  /** The k likeliest tokens, 0 for all. @default 0 */
  topK: number;
  /** Tokens at least this likely, relative to the likeliest. @default 0 */
  minP: number;
  /** Tokens whose surprise is nearest to the expected one, up to this mass (locally typical sampling). @default 1 */
  typicalP?: number;
  /** Divides positive logits of tokens seen in prompt and completion, multiplies negative ones. @default 1 */
  repetitionPenalty?: number;
  /** Times a token's count in the completion, taken from its logit. @default 0 */
  frequencyPenalty?: number;
  /** Taken from the logits of tokens that the completion has. @default 0 */
  presencePenalty?: number;
  /** Added to logits, by token id. @default none */
  logitBias?: Readonly<Record<number, number>>;
  /** Same seed, same prompt, same model: same tokens. Drawn at random where absent. */
  seed?: number;
}

export interface GenerationChunk {
  tokens: number[];
  finish?: 'stop' | 'length';
  /** Which of the request's stop tokens it was, on the last chunk only. */
  stopToken?: number;
  /** One for each of `tokens`, and one for `stopToken`, where the request asks for them. */
  logprobs?: TokenLogprobs[];
  /** One for each of the prompt's tokens but the first, on the first chunk, where the request asks for them. */
  promptLogprobs?: TokenLogprobs[];
  /** Milliseconds, on the last chunk only. */
  timings?: { queue: number; prefill: number; decode: number };
  /** Prompt tokens whose keys and values were there already, on the last chunk only. */
  cachedTokens?: number;
}

/** Natural logarithms of probabilities by the model itself, before temperature, penalties and filters. */
export interface TokenLogprobs {
  logprob: number;
  /** The likeliest tokens, likeliest first. */
  top: { token: number; logprob: number }[];
}

/** The grammar is none, or too complex: it will be refused however often it is sent. */
export class GrammarError extends FoldgateError {
  override name = 'GrammarError';
}

/** The model or its worker failed; the request may be sent again. */
export class EngineError extends FoldgateError {
  override name = 'EngineError';
}
