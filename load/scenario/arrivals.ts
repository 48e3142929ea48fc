import { randomFrom } from './random.ts';
import type { Arrivals } from './scenario.ts';

/** Keeps arrivals from drawing the numbers that prompts are made of. */
const arrivalStream = -2;

/**
 * When requests arrive, in milliseconds from the start, in order. Open loop: nothing here waits for an
 * answer. `poisson` has exponential gaps, so its count varies with the seed; `constant` has equal ones.
 */
export function arrivalTimes({ process, stages }: Arrivals, seed: number): number[] {
  const random = randomFrom(seed, arrivalStream);
  const times: number[] = [];
  let begin = 0;
  for (const { seconds, perSecond } of stages) {
    const end = begin + seconds * 1000;
    const mean = 1000 / perSecond;
    // -log(1 - u): u may be 0, never 1.
    const gap = () => (process === 'poisson' ? -Math.log(1 - random()) * mean : mean);
    for (let at = begin + (process === 'poisson' ? gap() : 0); at < end - 1e-9; at += gap()) times.push(at);
    begin = end;
  }
  return times;
}
