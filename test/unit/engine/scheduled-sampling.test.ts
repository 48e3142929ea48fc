import { describe, expect, it } from 'vitest';
import type { GenerationChunk, GenerationRequest } from '../../../functions/engine/engine.ts';
import { Sampler } from '../../../functions/engine/sampling/sampler.ts';
import { VocabularyWeights } from '../../../functions/engine/sampling/vocabulary-weights.ts';
import { greedy, range, request, startScheduler } from '../../fixtures/scheduled.ts';

describe('log probabilities', () => {
  it.each<GenerationRequest['delivery']>(['each', 'soon', 'end'])(
    'come with their tokens (%s)',
    async (delivery) => {
      const { scheduler, ended, of } = startScheduler();
      scheduler.add(1, request([20], { maxTokens: 4, logprobs: 1, delivery }));
      scheduler.add(2, request([40], { maxTokens: 9, logprobs: 0, stopTokens: [44], delivery }));
      await ended(1, 2);
      for (const { tokens, logprobs, stopToken } of [...of(1).chunks, ...of(2).chunks]) {
        expect(logprobs).toHaveLength(tokens.length + (stopToken === undefined ? 0 : 1));
      }
      const named = of(1).chunks.flatMap((chunk) => chunk.logprobs!.map(({ top }) => top[0]!.token));
      expect(named).toEqual([21, 22, 23, 24]);
      expect(of(2).chunks.flatMap((chunk) => chunk.logprobs)).toHaveLength(4);
    },
  );

  it('do not come unasked', async () => {
    const { scheduler, ended, of } = startScheduler();
    scheduler.add(1, request([20]));
    await ended(1);
    for (const chunk of of(1).chunks) expect(chunk).not.toHaveProperty('logprobs');
  });
});

describe('guessed tokens', () => {
  it('are penalized and told of one by one, those that came true and those that did not', async () => {
    // Goes round in sixes; a penalty makes it leave the round where a token was made too often.
    const run = async (speculation: boolean) => {
      const { scheduler, model, ended, of, tokens } = startScheduler(2, 0, { speculation });
      model.next = (token) => (token === 6 ? 1 : token + 1);
      const sampling = { ...greedy, frequencyPenalty: 0.3, logitBias: { 500: 0.25 } };
      const prompt = Array.from({ length: 30 }, (_, i) => (i % 6) + 1);
      scheduler.add(1, request(prompt, { maxTokens: 40, logprobs: 1, sampling }));
      await ended(1);
      const logprobs = of(1).chunks.flatMap((chunk) => chunk.logprobs);
      return { tokens: tokens(1), logprobs, steps: model.calls.length };
    };
    const [plain, guessing] = [await run(false), await run(true)];
    expect(guessing.steps).toBeLessThan(plain.steps);
    expect(guessing.tokens).toEqual(plain.tokens);
    expect(plain.tokens).toContain(500);
    expect(guessing.logprobs).toEqual(plain.logprobs);
    expect(guessing.logprobs).toHaveLength(40);
  });
});

describe('a report on a prompt', () => {
  const named = (chunk: GenerationChunk) => chunk.promptLogprobs!.map(({ top }) => top[0]!.token);

  it('has each token but the first, on the first chunk, however long the prompt is', async () => {
    const { scheduler, ended, of } = startScheduler();
    const lengths = [1, 2, 128, 129, 130, 300];
    const report = { promptLogprobs: true, logprobs: 1 };
    for (const length of lengths) scheduler.add(length, request(range(0, length), report));
    await ended(...lengths);
    for (const length of lengths) {
      const [first, ...others] = of(length).chunks;
      // The scripted model expects t + 1 after t, which is what these prompts hold.
      expect(named(first!)).toEqual(range(1, length - 1));
      for (const chunk of others) expect(chunk).not.toHaveProperty('promptLogprobs');
    }
  });

  it('needs the prompt read anew, which others need not', async () => {
    const { scheduler, ended, of } = startScheduler(4, 1_000_000);
    const prompt = range(0, 200);
    scheduler.add(1, request(prompt));
    await ended(1);
    scheduler.add(2, request(prompt, { promptLogprobs: true, logprobs: 1 }));
    scheduler.add(3, request(prompt));
    await ended(2, 3);
    expect(named(of(2).chunks[0]!)).toEqual(range(1, 199));
    expect(of(2).chunks.at(-1)).not.toHaveProperty('cachedTokens');
    expect(of(3).chunks.at(-1)!.cachedTokens).toBeGreaterThan(100);
  });

  it('reads a large vocabulary in small parts', () => {
    const asked = { sampling: greedy, prompt: range(0, 500), promptLogprobs: true };
    const weights = new VocabularyWeights(151_936);
    expect(new Sampler(asked, weights).promptLogprobs!.chunk).toBe(27);
    expect(new Sampler({ ...asked, promptLogprobs: false }, weights).promptLogprobs).toBeUndefined();
  });
});

describe('a sequence', () => {
  it('says which token ended it', async () => {
    const { scheduler, ended, of } = startScheduler();
    scheduler.add(1, request([20], { maxTokens: 9, stopTokens: [30, 22] }));
    scheduler.add(2, request([20], { maxTokens: 2, stopTokens: [30] }));
    await ended(1, 2);
    expect(of(1).chunks.at(-1)).toMatchObject({ tokens: [], finish: 'stop', stopToken: 22 });
    expect(of(2).chunks.at(-1)).not.toHaveProperty('stopToken');
  });

  it('has its own prompt, bias and least length in mind', async () => {
    const { scheduler, ended, tokens } = startScheduler();
    // The scripted model gives t + 1 a logit of 1, others 0: a penalty of 4 leaves it 0.25.
    const sampling = { ...greedy, repetitionPenalty: 4, logitBias: { 7: 0.5 } };
    scheduler.add(1, request([21, 20], { maxTokens: 1, sampling }));
    scheduler.add(2, request([20], { maxTokens: 1, sampling }));
    scheduler.add(3, request([20], { maxTokens: 1, minTokens: 1, stopTokens: [21] }));
    await ended(1, 2, 3);
    expect(tokens(1)).toEqual([7]);
    expect(tokens(2)).toEqual([21]);
    expect(tokens(3)).toEqual([0]);
  });
});
