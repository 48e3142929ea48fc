import { promptChunk } from '../../../artifact/decoder/decoder-options.ts';
import { maxVerified } from '../../../artifact/decoder/decoding-steps.ts';
import type { SequenceRows } from '../model-rows.ts';
import { argmax } from '../sampling/selection.ts';
import {
  acceptanceWeight,
  type DraftChoice,
  type DraftingModel,
  learned,
  StepCosts,
} from './draft-length.ts';

/** Part of its tokens that come true, and what one costs, before either was seen: hopeful, so that it will be. */
const assumed = { acceptance: 0.8, cost: 0.3 };

/** What a token costs that is read together with many, in steps of one: before it was measured. */
const assumedReadingCost = 0.2;

/** How much one guess counts for later texts, against what it counts for its own. */
const laterTexts = 0.2;

/** How far each new text goes back to what was assumed: a model that was of no use gets a trial at times. */
const forgetting = 0.05;

/** Tokens that a completion is reckoned to have still before it, when it has made fewer than so many itself. */
const tokensToCome = 128;

/** A sequence's text, as far as guesses need it. */
export interface DraftText {
  /** Prompt and completion. */
  readonly length: number;
  readonly salt: string;
  token(at: number): number;
}

/**
 * A second, smaller model of the same vocabulary that guesses what the first will say (speculative decoding,
 * Leviathan et al. 2022, arXiv 2211.17192): its likeliest tokens, run through the first model at once. It holds the
 * text of one sequence at a time and reads up what was written without it.
 */
export class DraftModel implements DraftingModel {
  readonly #rows: SequenceRows;
  readonly #capacity: number;
  readonly #costs = new StepCosts();
  /** Milliseconds a token where many are read at once. */
  #readingTime: number | undefined;
  /** What its row holds. */
  readonly #tokens: number[] = [];
  #salt = '';
  #acceptance = assumed.acceptance;
  #hasFailed = false;
  readonly #onFailure: (error: Error) => void;

  /**
   * @param rows of which it takes the first
   * @param capacity tokens that a row may hold
   * @param onFailure told why it guesses no more: texts go on without
   */
  constructor(rows: SequenceRows, capacity: number, onFailure: (error: Error) => void = () => {}) {
    this.#rows = rows;
    this.#capacity = capacity;
    this.#onFailure = onFailure;
  }

  /** Bytes of keys and values that it holds. */
  get kvBytes(): number {
    return this.#tokens.length * this.#rows.bytesPerToken;
  }

  get acceptance(): number {
    return this.#acceptance;
  }

  cost(target: StepCosts): number {
    const [own, others] = [this.#costs.time(1), target.time(1)];
    return own === undefined || others === undefined ? assumed.cost : own / others;
  }

  /** Another text begins. */
  begin(): void {
    this.#acceptance += forgetting * (assumed.acceptance - this.#acceptance);
  }

  /** Tells it how many of its tokens came true. */
  seen(guessed: number, accepted: number): void {
    this.#acceptance = learned(this.#acceptance, guessed, accepted, laterTexts * acceptanceWeight);
  }

  /**
   * What comes after a text, by this model.
   * @param choice how many tokens, and what they promise
   * @param made tokens of the text that were generated
   * @param room tokens that may still come
   * @param target what the other model's steps cost
   * @returns fewer where the context ends; undefined where it has to read more before, of which it reads one chunk if
   * that is worth while
   */
  draft(
    text: DraftText,
    choice: DraftChoice,
    made: number,
    room: number,
    target: StepCosts,
  ): number[] | undefined {
    const count = Math.min(choice.tokens, room, this.#capacity - text.length);
    if (count < 1 || this.#hasFailed) return undefined;
    try {
      this.#takeBack(text);
      const unread = text.length - this.#tokens.length;
      if (unread > maxVerified) {
        const toCome = Math.min(room, Math.max(made, tokensToCome));
        if (!this.#isWorthReading(unread, choice, toCome, target)) return undefined;
        this.#readOn(text, Math.min(unread - 1, promptChunk));
        if (text.length - this.#tokens.length > maxVerified) return undefined;
      }
      return this.#guess(text, count);
    } catch (error) {
      this.#hasFailed = true;
      this.#onFailure(error as Error);
      return undefined;
    }
  }

  /** Whether what is saved for the rest of the text is worth what reading up costs, both in the other model's steps. */
  #isWorthReading(unread: number, { gain }: DraftChoice, toCome: number, target: StepCosts): boolean {
    // A trial promises nothing: it is worth the reading of one chunk.
    if (gain <= 1) return unread <= promptChunk;
    const step = target.time(1);
    const each =
      step === undefined || this.#readingTime === undefined
        ? assumedReadingCost * this.cost(target)
        : this.#readingTime / step;
    return unread * each < toCome * (1 - 1 / gain);
  }

  /** Forgets what is not of the text, and the text's last token, whose logits are wanted. */
  #takeBack(text: DraftText): void {
    let common = 0;
    if (text.salt === this.#salt) {
      const most = Math.min(this.#tokens.length, text.length - 1);
      while (common < most && this.#tokens[common] === text.token(common)) common++;
    }
    this.#salt = text.salt;
    this.#tokens.length = common;
    this.#rows.cut(0, common);
  }

  #readOn(text: DraftText, count: number): void {
    const tokens = Int32Array.from({ length: count }, (_, i) => text.token(this.#tokens.length + i));
    const started = performance.now();
    this.#rows.run(0, tokens);
    // The first time, memory is taken as well.
    this.#readingTime = Math.min(this.#readingTime ?? Infinity, (performance.now() - started) / count);
    this.#tokens.push(...tokens);
  }

  /** The likeliest tokens, one after the other. */
  #guess(text: DraftText, count: number): number[] {
    const guesses: number[] = [];
    let unread = Array.from({ length: text.length - this.#tokens.length }, (_, i) =>
      text.token(this.#tokens.length + i),
    );
    const isUsual = unread.length <= 2; // what a whole guess that came true leaves unread
    const started = performance.now();
    while (guesses.length < count) {
      const logits = this.#rows.verify(0, unread)[unread.length - 1]!;
      this.#tokens.push(...unread);
      const next = argmax(logits);
      guesses.push(next);
      unread = [next];
    }
    if (isUsual) this.#costs.measured(1, (performance.now() - started) / count);
    return guesses;
  }
}
