import { DraftLength, type DraftSource, type StepCosts } from './draft-length.ts';
import type { DraftModel, DraftText } from './draft-model.ts';
import { PromptLookup } from './prompt-lookup.ts';

/** Tokens that may come next. */
export interface Draft {
  tokens: number[];
  source: DraftSource;
}

/** Guesses for one sequence. */
export class Speculation {
  readonly #costs: StepCosts;
  readonly #model: DraftModel | undefined;
  readonly #lookup: PromptLookup;
  readonly #length: DraftLength;

  /** @param tokens of prompt and completion so far @param model that drafts, where there is one */
  constructor(tokens: ArrayLike<number>, costs: StepCosts, model?: DraftModel) {
    this.#costs = costs;
    this.#model = model;
    model?.begin();
    this.#lookup = new PromptLookup(tokens);
    this.#length = new DraftLength(costs, model);
  }

  /** The sequence has one more token. */
  add(token: number): void {
    this.#lookup.add(token);
  }

  /**
   * The next tokens, if there is anything to go by and it pays.
   * @param made tokens of the text that were generated @param most tokens that there is room for
   */
  draft(text: DraftText, made: number, most: number): Draft | undefined {
    if (most < 1) return undefined;
    for (const choice of this.#length.choose()) {
      const { source } = choice;
      const tokens =
        source === 'model'
          ? this.#model!.draft(text, choice, made, most, this.#costs)
          : this.#lookup.draft(source, Math.min(choice.tokens, most));
      if (tokens && tokens.length > 0) return { tokens, source };
    }
    return undefined;
  }

  seen({ source, tokens }: Draft, accepted: number): void {
    this.#length.seen(source, tokens.length, accepted);
    if (source === 'model') this.#model!.seen(tokens.length, accepted);
  }
}
