import type { GenerationChunk } from './engine.ts';
import type { Constraint } from './grammar/constraint.ts';
import type { SharedRequest } from './messages.ts';
import type { PromptLogprobs } from './sampling/prompt-logprobs.ts';
import type { Sampler } from './sampling/sampler.ts';
import type { StepCosts } from './speculation/draft-length.ts';
import type { DraftModel } from './speculation/draft-model.ts';
import { type Draft, Speculation } from './speculation/speculation.ts';

/**
 * Milliseconds between a stream's chunks, at least: to a reader continuous. Sending one takes 0.1 ms and more of
 * two threads, which a small model's step of less than a millisecond would feel.
 */
export const streamIntervalMs = 10;

export interface WaitingRequest {
  id: number;
  request: SharedRequest;
  queuedAt: number;
}

/** One request's tokens and how far it has come. */
export class Sequence {
  readonly id: number;
  /** Its row of the cache. */
  row: number;
  /** Set when it has its last token, or nobody wants any more of them. */
  over = false;
  /** Tokens of the prompt that came from the prefix cache or another sequence; undefined before the first turn. */
  reused: number | undefined;
  readonly constraint: Constraint | undefined;
  readonly salt: string;
  readonly prompt: Int32Array;
  /** Where the prompt is to be reported on. */
  readonly promptLogprobs: PromptLogprobs | undefined;
  readonly #request: SharedRequest;
  readonly #sampler: Sampler;
  readonly #stopTokens: Set<number>;
  #speculation: Speculation | undefined;
  /** All tokens made. */
  readonly #made: number[] = [];
  /** How many of them were delivered. */
  #delivered = 0;
  #deliveredAt = -Infinity;
  readonly #queuedAt: number;
  #startedAt: number | undefined;
  #prefilledAt: number | undefined;

  constructor(
    { id, request, queuedAt }: WaitingRequest,
    row: number,
    sampler: Sampler,
    constraint?: Constraint,
  ) {
    this.id = id;
    this.row = row;
    this.constraint = constraint;
    this.salt = request.cacheSalt ?? '';
    this.prompt = request.prompt;
    this.promptLogprobs = sampler.promptLogprobs;
    this.#queuedAt = queuedAt;
    this.#request = request;
    this.#sampler = sampler;
    this.#stopTokens = new Set(request.stopTokens);
  }

  /** Whether it may take part in a step now. */
  get able(): boolean {
    return !this.over && (this.constraint?.available ?? true);
  }

  /** Tokens of prompt and completion. */
  get length(): number {
    return this.prompt.length + this.#made.length;
  }

  token(at: number): number {
    return at < this.prompt.length ? this.prompt[at]! : this.#made[at - this.prompt.length]!;
  }

  /** The tokens from one place to before another. */
  tokens(from: number, to: number): Int32Array {
    return Int32Array.from({ length: to - from }, (_, i) => this.token(from + i));
  }

  /** Its first turn has come. */
  begin(reused: number): void {
    this.#startedAt = performance.now();
    this.reused = reused;
  }

  /** What its next tokens may be, where that is worth checking. */
  draft(costs: StepCosts, model: DraftModel | undefined): Draft | undefined {
    if (this.constraint) return undefined; // knows what is allowed after the tokens made, not after guesses
    this.#speculation ??= new Speculation(this.tokens(0, this.length), costs, model);
    const { length: made } = this.#made;
    return this.#speculation.draft(this, made, this.#request.maxTokens - made - 1);
  }

  /** @param accepted how many tokens of the guess came true */
  seen(draft: Draft, accepted: number): void {
    this.#speculation?.seen(draft, accepted);
  }

  /** Makes the next token. @returns what there is to deliver now */
  take(logits: Float32Array): GenerationChunk | undefined {
    this.#prefilledAt ??= performance.now();
    const token = this.#sampler.next(logits);
    const stopped = this.#stopTokens.has(token);
    if (!stopped) {
      this.#made.push(token);
      this.#speculation?.add(token);
    }
    const finish = stopped ? 'stop' : this.#made.length >= this.#request.maxTokens ? 'length' : undefined;
    if (finish) {
      return {
        ...this.#undelivered(),
        finish,
        ...(stopped && { stopToken: token }),
        timings: this.#timings(),
        ...(this.reused && { cachedTokens: this.reused }),
      };
    }
    return this.#isDue() ? this.#undelivered() : undefined;
  }

  #undelivered(): GenerationChunk {
    const tokens = this.#made.slice(this.#delivered);
    this.#delivered = this.#made.length;
    const logprobs = this.#sampler.takeLogprobs();
    const promptLogprobs = this.promptLogprobs?.take();
    return { tokens, ...(logprobs && { logprobs }), ...(promptLogprobs && { promptLogprobs }) };
  }

  #isDue(): boolean {
    const { delivery } = this.#request;
    if (delivery !== 'soon') return delivery === 'each';
    const now = performance.now();
    if (now - this.#deliveredAt < streamIntervalMs) return false;
    this.#deliveredAt = now;
    return true;
  }

  #timings() {
    return {
      queue: this.#startedAt! - this.#queuedAt,
      prefill: this.#prefilledAt! - this.#startedAt!,
      decode: performance.now() - this.#prefilledAt!,
    };
  }
}
