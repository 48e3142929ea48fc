import { maxVerified } from '../../../artifact/decoder/decoding-steps.ts';
import { type MatchLength, matchLengths } from './prompt-lookup.ts';

/** Tokens guessed at once, at most: beyond this a step takes longer than it can save. */
export const maxDraft = maxVerified - 1;

/** What a step over so many rows costs before it was measured, a step over one row being 1. */
const assumedCost = (rows: number) => 1 + 0.27 * (rows - 1);

/** How much a new measurement counts. */
const costWeight = 0.1;
const acceptanceWeight = 0.1;

/** Of a step over so many rows. */
const enoughMeasurements = 50;

/** A guess is worth making only where it saves clearly: measurements waver. */
const leastGain = 1.05;

/** Steps without a guess after which one is made again where guesses did not pay. */
const retryEvery = 24;

/** What steps over several tokens of one sequence take, of one model on one machine. */
export class StepCosts {
  /** Milliseconds by rows. */
  readonly #times = new Map<number, number>();
  readonly #measurements = new Map<number, number>();

  /** The first ones count: afterwards the same text is guessed at in the same way, whatever else the machine does. */
  measured(rows: number, milliseconds: number): void {
    const measurements = this.#measurements.get(rows) ?? 0;
    if (measurements >= enoughMeasurements) return;
    this.#measurements.set(rows, measurements + 1);
    const known = this.#times.get(rows);
    this.#times.set(rows, known === undefined ? milliseconds : known + costWeight * (milliseconds - known));
  }

  /** Against a step over one row. */
  relative(rows: number): number {
    const one = this.#times.get(1);
    const time = this.#times.get(rows);
    return one === undefined || time === undefined ? assumedCost(rows) : time / one;
  }
}

/**
 * How many tokens to guess: as many as make the most tokens a second by what steps cost and by how often guesses
 * came true in this sequence.
 */
export class DraftLength {
  readonly #costs: StepCosts;
  /** Part of the guessed tokens that came true, by how many tokens repeated. */
  readonly #acceptance = new Map<MatchLength, number>();
  #steps = 0;

  constructor(costs: StepCosts) {
    this.#costs = costs;
    for (const match of matchLengths) this.#acceptance.set(match, match === 3 ? 0.6 : 0.4);
  }

  /** Matches that are worth a guess now, and how many tokens each. */
  choose(): { match: MatchLength; tokens: number }[] {
    const retry = ++this.#steps % retryEvery === 0;
    const choices = matchLengths.map((match) => ({ match, tokens: this.#best(match) || (retry ? 1 : 0) }));
    return choices.filter(({ tokens }) => tokens > 0);
  }

  /** @param accepted of the guessed tokens, from the first on */
  seen(match: MatchLength, guessed: number, accepted: number): void {
    // The first that did not come true was tried, those after it were not.
    const tried = Math.min(guessed, accepted + 1);
    const known = this.#acceptance.get(match)!;
    const weight = 1 - (1 - acceptanceWeight) ** tried;
    this.#acceptance.set(match, known + weight * (accepted / tried - known));
  }

  #best(match: MatchLength): number {
    const chance = this.#acceptance.get(match)!;
    let [best, most] = [0, leastGain];
    let expected = 1;
    for (let tokens = 1; tokens <= maxDraft; tokens++) {
      expected += chance ** tokens;
      const gain = expected / this.#costs.relative(tokens + 1);
      if (gain > most) [best, most] = [tokens, gain];
    }
    return best;
  }
}
