import { DraftLength, type StepCosts } from './draft-length.ts';
import { type Draft, PromptLookup } from './prompt-lookup.ts';

/** Guesses for one sequence. */
export class Speculation {
  readonly #lookup: PromptLookup;
  readonly #length: DraftLength;

  /** @param tokens of prompt and completion so far */
  constructor(tokens: ArrayLike<number>, costs: StepCosts) {
    this.#lookup = new PromptLookup(tokens);
    this.#length = new DraftLength(costs);
  }

  /** The sequence has one more token. */
  add(token: number): void {
    this.#lookup.add(token);
  }

  /** The next tokens, if there is anything to go by and it pays. @param most tokens that there is room for */
  draft(most: number): Draft | undefined {
    for (const { match, tokens } of this.#length.choose()) {
      const draft = this.#lookup.draft(match, Math.min(tokens, most));
      if (draft && draft.tokens.length > 0) return draft;
    }
    return undefined;
  }

  seen({ match, tokens }: Draft, accepted: number): void {
    this.#length.seen(match, tokens.length, accepted);
  }
}
