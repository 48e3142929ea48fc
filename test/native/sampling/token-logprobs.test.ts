import { describe, expect, it } from 'vitest';
import type { Sampling, TokenLogprobs } from '../../../functions/engine/engine.ts';
import { Sampler } from '../../../functions/engine/sampling/sampler.ts';
import { VocabularyWeights } from '../../../functions/engine/sampling/vocabulary-weights.ts';
import { seeded } from '../../fixtures/random-checkpoint.ts';

const greedy: Sampling = { temperature: 0, topP: 1, topK: 0, minP: 0 };

function logSoftmax(logits: Float32Array): number[] {
  const total = logits.reduce((sum, logit) => sum + Math.exp(logit), 0);
  return Array.from(logits, (logit) => logit - Math.log(total));
}

function expected(logits: Float32Array, token: number, count: number): TokenLogprobs {
  const all = logSoftmax(logits);
  const order = [...all.keys()].sort((a, b) => all[b]! - all[a]! || a - b);
  const close = (value: number) => expect.closeTo(value, 6) as number;
  return {
    logprob: close(all[token]!),
    top: order.slice(0, count).map((id) => ({ token: id, logprob: close(all[id]!) })),
  };
}

const random = seeded(21);
const rows = Array.from({ length: 5 }, () => Float32Array.from({ length: 700 }, () => random() * 12 - 6));

describe('log probabilities', () => {
  it.each<[string, Partial<Sampling>, number]>([
    ['greedy', {}, 3],
    ['none but the own', {}, 0],
    ['at another temperature', { temperature: 0.3, seed: 1 }, 5],
    ['of filtered tokens', { temperature: 1.5, topK: 5, topP: 0.5, minP: 0.2, typicalP: 0.5, seed: 2 }, 20],
    ['of changed logits', { repetitionPenalty: 3, presencePenalty: 2, logitBias: { 4: 100 } }, 4],
  ])("are the model's own (%s)", (_what, changed, count) => {
    const sampling = { ...greedy, ...changed };
    const sampler = new Sampler({ sampling, logprobs: count, prompt: [1, 2, 3] }, new VocabularyWeights(700));
    const tokens = rows.map((row) => sampler.next(row.slice()));
    const entries = sampler.takeLogprobs()!;
    expect(entries).toEqual(tokens.map((token, i) => expected(rows[i]!, token, count)));
  });

  it('are taken once', () => {
    const sampler = new Sampler({ sampling: greedy, logprobs: 1 }, new VocabularyWeights(700));
    const take = () => sampler.takeLogprobs()!.map((entry) => entry.top[0]!.token);
    const made = rows.slice(0, 3).map((row) => sampler.next(row));
    expect(take()).toEqual(made);
    const last = sampler.next(rows[3]!);
    expect(take()).toEqual([last]);
    expect(take()).toEqual([]);
  });

  it('name equals by the lower id, as many as there are', () => {
    const sampler = new Sampler({ sampling: greedy, logprobs: 9 }, new VocabularyWeights(3));
    sampler.next(new Float32Array(3));
    const [entry] = sampler.takeLogprobs()!;
    expect(entry!.top.map(({ token }) => token)).toEqual([0, 1, 2]);
    expect(entry!.logprob).toBeCloseTo(-Math.log(3), 7);
  });

  it('are none where nobody asks', () => {
    const sampler = new Sampler({ sampling: greedy }, new VocabularyWeights(700));
    sampler.next(rows[0]!);
    expect(sampler.takeLogprobs()).toBeUndefined();
  });
});
