import { describe, expect, it } from 'vitest';
import type { Sampling } from '../../../functions/engine/engine.ts';
import { Penalties } from '../../../functions/engine/sampling/processors/penalties.ts';
import { Sampler } from '../../../functions/engine/sampling/sampler.ts';
import { typicalOf, typicalOfAll } from '../../../functions/engine/sampling/typical.ts';
import { VocabularyWeights } from '../../../functions/engine/sampling/vocabulary-weights.ts';
import { fromSixteenths, samplingGoldens } from '../../fixtures/sampling/goldens.ts';
import { chiSquareLimit, chiSquareOf } from '../../fixtures/statistics.ts';

const goldens = await samplingGoldens();
const everything: Sampling = { temperature: 1, topP: 1, topK: 0, minP: 0 };

describe("transformers' processors", () => {
  it.each(goldens.penalties)(
    'penalize repetition alike, by $penalty',
    ({ penalty, sixteenths, ids, out }) => {
      const logits = fromSixteenths(sixteenths);
      Penalties.of({ ...everything, repetitionPenalty: penalty }, ids)!.process(logits);
      // The penalty itself is a float32 there.
      for (const [token, logit] of out.entries()) expect(logits[token]).toBeCloseTo(logit, 5);
    },
  );

  it.each(goldens.typical)('find the same typical tokens (%#)', ({ sixteenths, cases }) => {
    const logits = fromSixteenths(sixteenths);
    const highestLogit = Math.max(...logits);
    const all = [...logits.keys()];
    for (const { share, temperature, kept } of cases) {
      const values = logits.map((logit) => Math.exp((logit - highestLogit) / temperature));
      const total = values.reduce((sum, weight) => sum + weight, 0);
      const distribution = { logits, weights: { values, total, highestLogit }, temperature };
      const ascending = (tokens: number[]) => tokens.sort((a, b) => a - b);
      expect(ascending(typicalOf(distribution, all, share))).toEqual(kept);
      expect(ascending(typicalOfAll(distribution, share))).toEqual(kept);
    }
  });

  const chains = goldens.chains.map(({ prompt, sixteenths, probabilities, stopTokens, ...asked }) => ({
    asked,
    of: { prompt, sixteenths, probabilities, stopTokens },
  }));
  it.each(chains)('leave the same distribution: $asked', ({ asked, of }) => {
    const { minTokens, ...changed } = asked;
    const { prompt, stopTokens, probabilities } = of;
    const seen = new Array<number>(of.sixteenths.length).fill(0);
    const weights = new VocabularyWeights(seen.length);
    for (let seed = 0; seed < 20_000; seed++) {
      const sampling = { ...everything, ...changed, seed };
      const request = { sampling, prompt, stopTokens, ...(minTokens !== undefined && { minTokens }) };
      // A new one each time: the first token is what the golden is about.
      seen[new Sampler(request, weights).next(fromSixteenths(of.sixteenths))]!++;
    }
    expect(seen.filter((count, token) => count > 0 && probabilities[token] === 0)).toEqual([]);
    const possible = probabilities.filter((p) => p > 0).length;
    expect(chiSquareOf(seen, probabilities)).toBeLessThan(chiSquareLimit(possible - 1));
  });
});
