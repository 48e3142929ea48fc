import { EngineError } from '../engine/engine.ts';
import {
  type Finish,
  generateText,
  type TextDelta,
  type TextRequest,
  type Timings,
} from '../model/generate.ts';
import type { LoadedModel } from '../model/loaded-model.ts';
import type { TokenReport } from '../model/token-report.ts';
import type { ToolCall, ToolCallDelta } from '../model/tools/tool.ts';
import type { ModelService } from './model-service.ts';

/** Where a request's completions run: the model, and the signal that stops them all. */
export interface Run {
  service: ModelService;
  model: LoadedModel;
  controller: AbortController;
}

/** A piece of one of the choices. */
export type OnDelta = (index: number, delta: TextDelta) => void;

/**
 * Generates every choice of a request at the same time.
 * @param onDelta gets each choice's text as it comes
 * @throws the first choice's error, after the others were stopped.
 */
export async function runChoices(
  run: Run,
  requests: readonly TextRequest[],
  onDelta: OnDelta,
): Promise<void> {
  const { signal } = run.controller;
  const one = async (request: TextRequest, index: number) => {
    try {
      for await (const delta of generateText(run.model, request, signal)) onDelta(index, delta);
    } catch (error) {
      // An engine stopped by the signal may say so in its own words.
      const reason = signal.aborted ? signal.reason : error;
      if (!signal.aborted) run.controller.abort(reason);
      if (reason instanceof EngineError) void run.service.reportFailure(run.model, reason);
      throw reason;
    }
  };
  const results = await Promise.allSettled(requests.map(one));
  const failed = results.find((result) => result.status === 'rejected');
  if (failed) throw failed.reason;
}

export interface Choice {
  text: string;
  finish: Finish;
  /** What it calls, if anything. */
  calls?: ToolCall[];
  /** The stop string that ended it. */
  stop?: string;
  /** Its tokens, where they are to be reported. */
  logprobs?: TokenReport[];
}

/** What an answer tells of itself: `usage`, and `timings` of a single completion. */
export type UsageFields = ReturnType<Usage['fields']>;

export class Usage {
  #completion = 0;
  readonly #prompt: number;
  #timings: Timings | undefined;
  /** By prompt: what the first of its completions found known. */
  readonly #cached: (number | undefined)[];
  readonly #choices: number;

  /** @param prompts a prompt counts once, however many completions it gets. */
  constructor(prompts: readonly number[][], choices: number) {
    this.#prompt = prompts.reduce((sum, prompt) => sum + prompt.length, 0);
    this.#choices = choices;
    this.#cached = prompts.map(() => undefined);
  }

  add(index: number, delta: TextDelta): void {
    this.#completion += delta.tokens;
    const { cachedTokens } = delta;
    if (cachedTokens !== undefined) {
      // The other completions of a prompt reuse what the first one read.
      const prompt = Math.floor((index * this.#cached.length) / this.#choices);
      this.#cached[prompt] = Math.min(this.#cached[prompt] ?? Infinity, cachedTokens);
    }
    this.#timings = delta.timings ?? this.#timings;
  }

  /** Tokens made so far, of all choices. */
  get completion(): number {
    return this.#completion;
  }

  /** Tokens of the prompts that had been read before. */
  get cached(): number {
    return this.#cached.reduce<number>((sum, cached) => sum + (cached ?? 0), 0);
  }

  /** Of the completion, where there is a single one and it ran to its end. */
  get timings(): Timings | undefined {
    return this.#choices === 1 ? this.#timings : undefined;
  }

  /** `usage`, and `timings` where one completion has them. */
  fields() {
    const usage = {
      prompt_tokens: this.#prompt,
      completion_tokens: this.#completion,
      total_tokens: this.#prompt + this.#completion,
      prompt_tokens_details: {
        cached_tokens: this.cached,
      },
    };
    if (!this.timings) return { usage };
    const { queue, prefill, decode } = this.timings;
    // The first token came with the prompt.
    const rate = this.#completion > 1 && { tokens_per_second: ((this.#completion - 1) * 1000) / decode };
    return { usage, timings: { queue_ms: queue, prefill_ms: prefill, decode_ms: decode, ...rate } };
  }
}

/** Runs all choices; `onDelta` gets their text as it comes. */
export type Generate = (onDelta: OnDelta) => Promise<void>;

/** Generates every choice of a request to its end. */
export async function collectChoices(
  requests: readonly TextRequest[],
  generate: Generate,
): Promise<Choice[]> {
  const choices = requests.map(
    ({ logprobs }): Choice => ({ text: '', finish: 'stop', ...(logprobs !== undefined && { logprobs: [] }) }),
  );
  await generate((index, delta) => {
    const choice = choices[index]!;
    choice.text += delta.text;
    if (delta.finish) choice.finish = delta.finish;
    if (delta.stop !== undefined) choice.stop = delta.stop;
    for (const call of delta.calls ?? []) addCall(choice, call);
    if (delta.logprobs) choice.logprobs?.push(...delta.logprobs);
  });
  return choices;
}

function addCall(choice: Choice, { index, id, name, arguments: piece }: ToolCallDelta): void {
  choice.calls ??= [];
  if (id !== undefined) choice.calls[index] = { id, name: name!, arguments: piece };
  else choice.calls[index]!.arguments += piece;
}
