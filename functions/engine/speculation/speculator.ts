import type { SpeculationCounts } from '../engine.ts';
import type { SequenceRows } from '../model-rows.ts';
import type { Sequence } from '../sequence.ts';
import { StepCosts } from './draft-length.ts';
import type { DraftModel } from './draft-model.ts';
import type { Draft } from './speculation.ts';

/** Makes several tokens of a lone sequence in one step. */
export class Speculator {
  /** Of steps over the tokens of one sequence. */
  readonly costs = new StepCosts();
  /** Since the engine began. */
  readonly counts = noGuesses();
  readonly #model: SequenceRows;
  readonly #draft: DraftModel | undefined;

  /** @param draft guesses where that pays; without it the text itself is all there is to go by */
  constructor(model: SequenceRows, draft?: DraftModel) {
    this.#model = model;
    this.#draft = draft;
  }

  /** Bytes that the drafting model's keys and values take. */
  get kvBytes(): number {
    return this.#draft?.kvBytes ?? 0;
  }

  /**
   * Several tokens of a sequence in one step, where there is a guess: each is drawn from the model's own logits, and
   * as long as it is the one that was guessed, the next logits are right as well. So texts are the same, and
   * as likely, as without guesses.
   * @param take draws the next token from its logits. @returns whether the sequence goes on
   * @returns whether there was a guess
   */
  step(sequence: Sequence, take: (logits: Float32Array) => boolean): boolean {
    const draft = sequence.draft(this.costs, this.#draft);
    if (!draft) return false;
    const { row } = sequence;
    const { tokens } = draft;
    const started = performance.now();
    const logits = this.#model.verify(row, [sequence.token(this.#model.length(row)), ...tokens]);
    this.costs.measured(tokens.length + 1, performance.now() - started);
    let accepted = 0;
    let goesOn = true;
    for (const after of logits.slice(0, tokens.length + 1)) {
      goesOn = take(after);
      if (!goesOn || sequence.token(sequence.length - 1) !== tokens[accepted]) break;
      accepted++;
    }
    this.#count(draft, accepted);
    if (!goesOn) return true;
    this.#model.cut(row, sequence.length - 1);
    sequence.seen(draft, accepted);
    return true;
  }

  #count({ source, tokens }: Draft, accepted: number): void {
    const counts = this.counts[source === 'model' ? 'draft_model' : 'ngram'];
    counts.drafts++;
    counts.tokens += tokens.length;
    counts.accepted += accepted;
  }
}

export function noGuesses(): SpeculationCounts {
  const none = () => ({ drafts: 0, tokens: 0, accepted: 0 });
  return { ngram: none(), draft_model: none() };
}
