import { maxVerified } from '../../../artifact/decoder/decoding-steps.ts';
import { type MatchLength, matchLengths } from './prompt-lookup.ts';

/** Tokens guessed at once, at most: beyond this a step takes longer than it can save. */
export const maxDraft = maxVerified - 1;

/** What tells a guess: so many tokens that stood in the text before, or another model. */
export type DraftSource = MatchLength | 'model';

/** What a step over so many rows costs before it was measured, a step over one row being 1. */
const assumedCost = (rows: number) => 1 + 0.27 * (rows - 1);

/** Part of the guessed tokens that come true, before any was seen. */
const assumedAcceptance = { 3: 0.6, 2: 0.4 } as const;

/** How much a new measurement counts. */
const costWeight = 0.1;
export const acceptanceWeight = 0.1;

/** Of a step over so many rows. */
const enoughMeasurements = 50;

/** Steps of one row before another model is asked: what its tokens may cost is known by these alone. */
const plainStepsFirst = 4;

/** A guess is worth making only where it saves clearly: measurements waver. */
const leastGain = 1.05;

/** Steps without a guess after which one is made again where guesses did not pay. */
const retryEvery = 24;

/** What steps over several tokens of one sequence take, of one model on one machine. */
export class StepCosts {
  /** Milliseconds by rows. */
  readonly #times = new Map<number, number>();
  readonly #measurements = new Map<number, number>();

  /**
   * The first ones count: afterwards the same text is guessed at in the same way, whatever else the machine does. But the
   * very first, which also takes memory and binds it, gives way to the second.
   */
  measured(rows: number, milliseconds: number): void {
    const measurements = this.#measurements.get(rows) ?? 0;
    if (measurements >= enoughMeasurements) return;
    this.#measurements.set(rows, measurements + 1);
    const known = this.#times.get(rows);
    const isNew = known === undefined || measurements === 1;
    this.#times.set(rows, isNew ? milliseconds : known + costWeight * (milliseconds - known));
  }

  /** How many steps over so many rows count. */
  measurements(rows: number): number {
    return this.#measurements.get(rows) ?? 0;
  }

  /** Milliseconds of a step over so many rows; undefined before there was one. */
  time(rows: number): number | undefined {
    return this.#times.get(rows);
  }

  /** Against a step over one row. */
  relative(rows: number): number {
    const one = this.#times.get(1);
    const time = this.#times.get(rows);
    return one === undefined || time === undefined ? assumedCost(rows) : time / one;
  }
}

/** The part that comes true, by what was known of it and a guess more. @param weight of one token */
export function learned(known: number, guessed: number, accepted: number, weight: number): number {
  // The first that did not come true was tried, those after it were not.
  const tried = Math.min(guessed, accepted + 1);
  return known + (1 - (1 - weight) ** tried) * (accepted / tried - known);
}

/** What a model that drafts tells of itself. */
export interface DraftingModel {
  /** Part of its tokens that came true in the texts before this one. */
  readonly acceptance: number;
  /** What one of its tokens costs, a step of the drafted-for model over one row being 1. */
  cost(target: StepCosts): number;
}

/** A guess that is worth making. */
export interface DraftChoice {
  source: DraftSource;
  tokens: number;
  /** Tokens for the time of one that they promise; 1 for a trial, which promises nothing. */
  gain: number;
}

/**
 * How many tokens to guess: as many as make the most tokens a second by what steps cost and by how often guesses
 * came true in this sequence.
 */
export class DraftLength {
  readonly #costs: StepCosts;
  readonly #model: DraftingModel | undefined;
  /** Part of the guessed tokens that came true, by what told them. */
  readonly #acceptance = new Map<DraftSource, number>(matchLengths.map((m) => [m, assumedAcceptance[m]]));
  #steps = 0;
  /** Steps before the model is tried again, where it does not pay; they double with each trial in vain, since each takes reading up. */
  #modelRetryAfter = retryEvery;
  #modelSpared = 0;
  #modelOnTrial = false;

  /** @param model that drafts, where there is one */
  constructor(costs: StepCosts, model?: DraftingModel) {
    this.#costs = costs;
    this.#model = model;
    if (model) this.#acceptance.set('model', model.acceptance);
  }

  /** What is worth guessing by now: trials, then the most promising first. */
  choose(): DraftChoice[] {
    const retry = ++this.#steps % retryEvery === 0;
    const trials: DraftChoice[] = [];
    const choices: DraftChoice[] = [];
    for (const source of matchLengths) {
      const best = this.#best(source, 0);
      if (best) choices.push(best);
      else if (retry) trials.push({ source, tokens: 1, gain: 1 });
    }
    if (this.#model && this.#costs.measurements(1) >= plainStepsFirst) {
      const best = this.#best('model', this.#model.cost(this.#costs));
      if (best) choices.push(best);
      else if (++this.#modelSpared >= this.#modelRetryAfter)
        trials.push({ source: 'model', tokens: 1, gain: 1 });
      this.#modelOnTrial = !best;
      if (best || trials.length > 0) this.#modelSpared = 0;
    }
    return [...trials, ...choices.sort((a, b) => b.gain - a.gain)];
  }

  /** @param accepted of the guessed tokens, from the first on */
  seen(source: DraftSource, guessed: number, accepted: number): void {
    const known = this.#acceptance.get(source)!;
    this.#acceptance.set(source, learned(known, guessed, accepted, acceptanceWeight));
    if (source !== 'model') return;
    if (accepted > 0) this.#modelRetryAfter = retryEvery;
    else if (this.#modelOnTrial) this.#modelRetryAfter *= 2;
  }

  /** @param tokenCost of guessing one */
  #best(source: DraftSource, tokenCost: number): DraftChoice | undefined {
    const chance = this.#acceptance.get(source)!;
    let [best, most] = [0, leastGain];
    let expected = 1;
    for (let tokens = 1; tokens <= maxDraft; tokens++) {
      expected += chance ** tokens;
      const gain = expected / (this.#costs.relative(tokens + 1) + tokens * tokenCost);
      if (gain > most) [best, most] = [tokens, gain];
    }
    return best === 0 ? undefined : { source, tokens: best, gain: most };
  }
}
