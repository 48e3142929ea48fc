import { describe, expect, it } from 'vitest';
import type { Sampling } from '../../../../functions/engine/engine.ts';
import { LogitBias } from '../../../../functions/engine/sampling/processors/logit-bias.ts';
import type { LogitsProcessor } from '../../../../functions/engine/sampling/processors/logits-processor.ts';
import { MinTokens } from '../../../../functions/engine/sampling/processors/min-tokens.ts';
import { Penalties } from '../../../../functions/engine/sampling/processors/penalties.ts';
import { Sampler } from '../../../../functions/engine/sampling/sampler.ts';
import { VocabularyWeights } from '../../../../functions/engine/sampling/vocabulary-weights.ts';

const greedy: Sampling = { temperature: 0, topP: 1, topK: 0, minP: 0 };
const processed = (processor: LogitsProcessor, ...logits: number[]) => {
  const row = Float32Array.from(logits);
  processor.process(row);
  return [...row];
};

describe('penalties', () => {
  it('by frequency grow with a count, by presence do not, and both leave the prompt alone', () => {
    const penalties = Penalties.of({ ...greedy, frequencyPenalty: 0.5, presencePenalty: 2 }, [3, 3, 0])!;
    expect(processed(penalties, 1, 1, 1, 1)).toEqual([1, 1, 1, 1]);
    for (const token of [1, 2, 1, 1]) penalties.accept(token);
    expect(processed(penalties, 1, 1, 1, 1)).toEqual([1, 1 - 3 * 0.5 - 2, 1 - 0.5 - 2, 1]);
  });

  it('that are negative make tokens likelier', () => {
    const penalties = Penalties.of({ ...greedy, frequencyPenalty: -0.5, presencePenalty: -1 }, [])!;
    penalties.accept(0);
    expect(processed(penalties, 1, 1)).toEqual([2.5, 1]);
  });

  it('for repetition count prompt and completion alike, each token once, before the others are taken', () => {
    const sampling = { ...greedy, repetitionPenalty: 2, frequencyPenalty: 1, presencePenalty: 0.25 };
    const penalties = Penalties.of(sampling, [0, 0, 1])!;
    expect(processed(penalties, 4, -4, 4, -4)).toEqual([2, -8, 4, -4]);
    for (const token of [2, 0, 0]) penalties.accept(token);
    expect(processed(penalties, 4, -4, 4, -4)).toEqual([2 - 2 - 0.25, -8, 2 - 1 - 0.25, -4]);
  });

  it('leave what is forbidden forbidden', () => {
    const penalties = Penalties.of({ ...greedy, repetitionPenalty: 0.5, frequencyPenalty: -2 }, [0])!;
    penalties.accept(0);
    expect(processed(penalties, -Infinity, 0)).toEqual([-Infinity, 0]);
  });

  it('touch seen tokens alone', () => {
    const touched = new Set<number>();
    const watched = new Proxy(new Float32Array(1000), {
      get: (row, key) => {
        touched.add(Number(key));
        return Reflect.get(row, key);
      },
      set: (row, key, value) => Reflect.set(row, key, value),
    });
    const penalties = Penalties.of({ ...greedy, repetitionPenalty: 1.5 }, [7, 9, 7])!;
    penalties.accept(500);
    penalties.process(watched);
    expect([...touched].sort((a, b) => a - b)).toEqual([7, 9, 500]);
  });

  it('come after the bias', () => {
    const sampling = { ...greedy, repetitionPenalty: 2, logitBias: { 0: 6 } };
    // (1 + 6) / 2 is less than 4; 1 / 2 + 6 would not be.
    const sampler = new Sampler({ sampling, prompt: [0] }, new VocabularyWeights(2));
    expect(sampler.next(Float32Array.of(1, 4))).toBe(1);
  });
});

describe('a bias', () => {
  it('is added by token id', () => {
    const bias = LogitBias.of({ ...greedy, logitBias: { 2: 1.5, 0: -100 } })!;
    expect(processed(bias, 1, 2, 3)).toEqual([-99, 2, 4.5]);
  });
});

describe('a least length', () => {
  const next = (sampler: Sampler) => sampler.next(Float32Array.of(3, 1, 4, 2));

  it('keeps the ends away until it is reached', () => {
    const sampler = new Sampler(
      { sampling: greedy, stopTokens: [2, 0], minTokens: 2 },
      new VocabularyWeights(4),
    );
    expect([next(sampler), next(sampler), next(sampler)]).toEqual([3, 3, 2]);
  });

  it('is stronger than a bias', () => {
    const sampling = { ...greedy, logitBias: { 2: 100 } };
    expect(next(new Sampler({ sampling, stopTokens: [2], minTokens: 1 }, new VocabularyWeights(4)))).toBe(0);
  });

  it('gives way where a constraint leaves nothing but an end', () => {
    const endOnly: LogitsProcessor = {
      process: (logits) => logits.fill(-Infinity).fill(1, 2, 3),
      accept: () => {},
    };
    const sampler = new Sampler(
      { sampling: greedy, stopTokens: [2], minTokens: 9 },
      new VocabularyWeights(4),
      endOnly,
    );
    expect(next(sampler)).toBe(2);
  });
});

describe('a constraint', () => {
  it('comes before everything else, and hears of each token', () => {
    const accepted: number[] = [];
    const evenOnly: LogitsProcessor = {
      process: (logits) => {
        for (let i = 1; i < logits.length; i += 2) logits[i] = -Infinity;
      },
      accept: (token) => accepted.push(token),
    };
    const sampling = { ...greedy, logitBias: { 1: 50 }, frequencyPenalty: 2 };
    const sampler = new Sampler({ sampling }, new VocabularyWeights(4), evenOnly);
    const tokens = [1, 2, 3].map(() => sampler.next(Float32Array.of(3, 9, 4, 9)));
    expect(tokens).toEqual([2, 0, 2]);
    expect(accepted).toEqual(tokens);
  });
});

describe('what a request leaves at its default', () => {
  it('changes nothing', () => {
    const sampling = { ...greedy, repetitionPenalty: 1, frequencyPenalty: 0, presencePenalty: 0 };
    expect(Penalties.of(sampling, [1, 2])).toBeUndefined();
    expect(LogitBias.of({ ...greedy, logitBias: {} })).toBeUndefined();
    expect(MinTokens.of(0, [1])).toBeUndefined();
    expect(MinTokens.of(5, [])).toBeUndefined();
  });
});
