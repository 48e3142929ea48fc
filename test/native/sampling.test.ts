import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openCheckpoint } from '../../compressor/checkpoint/open.ts';
import { createEngine } from '../../functions/engine/create-engine.ts';
import type { Engine, GenerationRequest, Sampling, TokenLogprobs } from '../../functions/engine/engine.ts';
import { type FoldedPico, foldInto, withDecoder } from '../fixtures/fold-into.ts';
import { type Golden, golden, picoPath } from '../fixtures/pico.ts';

const contextLength = 128;
const greedy: Sampling = { temperature: 0, topP: 1, topK: 0, minP: 0 };

let folder: string;
let folded: FoldedPico;
let engine: Engine;
let text: Golden;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'foldgate-sampling-'));
  const checkpoint = await openCheckpoint(picoPath('llama'));
  folded = await foldInto(folder, checkpoint);
  await checkpoint.close();
  text = await golden('llama');
  const { manifest, graphPath } = folded;
  engine = await createEngine({ manifest, graphPath, slots: 3, threads: 1, spinning: false });
});
afterAll(async () => {
  await engine?.[Symbol.asyncDispose]();
  await rm(folder, { recursive: true });
});

async function generate(changed: Partial<GenerationRequest> & { prompt: number[] }, by = engine) {
  const tokens: number[] = [];
  const logprobs: TokenLogprobs[] = [];
  const promptLogprobs: TokenLogprobs[] = [];
  const request: GenerationRequest = {
    maxTokens: 12,
    sampling: greedy,
    stopTokens: [],
    delivery: 'end',
    ...changed,
  };
  for await (const chunk of by.generate(request)) {
    tokens.push(...chunk.tokens);
    logprobs.push(...(chunk.logprobs ?? []));
    promptLogprobs.push(...(chunk.promptLogprobs ?? []));
  }
  return { tokens, logprobs, promptLogprobs };
}

function logSoftmax(logits: Float32Array): number[] {
  const total = logits.reduce((sum, logit) => sum + Math.exp(logit), 0);
  return Array.from(logits, (logit) => logit - Math.log(total));
}

function entry(logits: Float32Array, token: number, count: number) {
  const all = logSoftmax(logits);
  const order = [...all.keys()].sort((a, b) => all[b]! - all[a]!);
  const close = (id: number) => expect.closeTo(all[id]!, 3) as number;
  return {
    logprob: close(token),
    top: order.slice(0, count).map((id) => ({ token: id, logprob: close(id) })),
  };
}

/** The logits after the last of the tokens, all read anew. */
function lastLogits(tokens: number[]): Promise<Float32Array> {
  return withDecoder(folded, contextLength, async (decoder) =>
    decoder.run(decoder.newCache(), tokens).slice(),
  );
}

describe('log probabilities of a real graph', () => {
  it("are those of transformers' logits", async () => {
    const { tokens, vocabulary, logits } = text;
    for (const length of [1, 2, 9, 30, tokens.length]) {
      const row = logits.subarray((length - 1) * vocabulary, length * vocabulary);
      const made = await generate({ prompt: tokens.slice(0, length), maxTokens: 1, logprobs: 5 });
      expect(made.logprobs).toEqual([entry(row, made.tokens[0]!, 5)]);
    }
  });

  it('are those of reading the whole text anew, whatever was sampled, beside others', async () => {
    const hot = { temperature: 1.4, topP: 0.9, topK: 0, minP: 0, presencePenalty: 2, repetitionPenalty: 2 };
    const prompts = [5, 6, 7, 8, 9].map((start) => text.tokens.slice(start, start + 10));
    const answers = await Promise.all(
      prompts.map((prompt, seed) => generate({ prompt, logprobs: 3, sampling: { ...hot, seed } })),
    );
    for (const [i, { tokens, logprobs }] of answers.entries()) {
      expect(logprobs).toHaveLength(12);
      for (const [step, token] of tokens.entries()) {
        const row = await lastLogits([...prompts[i]!, ...tokens.slice(0, step)]);
        expect(logprobs[step]).toEqual(entry(row, token, 3));
      }
    }
  });
});

describe('guessed tokens', () => {
  it.each<[string, Partial<Sampling>]>([
    ['greedy', {}],
    ['penalized', { presencePenalty: 0.5, repetitionPenalty: 1.1 }],
    ['sampled', { temperature: 0.8, typicalP: 0.9, seed: 4 }],
  ])('are told of and counted as others are (%s)', async (_how, changed) => {
    const { manifest, graphPath } = folded;
    const plain = await createEngine({
      manifest,
      graphPath,
      threads: 1,
      spinning: false,
      speculation: false,
    });
    const period = text.tokens.slice(0, 6);
    const asked = {
      prompt: Array.from({ length: 48 }, (_, i) => period[i % period.length]!),
      maxTokens: 60,
      logprobs: 2,
      sampling: { ...greedy, ...changed },
    };
    const [wanted, found] = [await generate(asked, plain), await generate(asked)];
    await plain[Symbol.asyncDispose]();
    expect(found.tokens).toEqual(wanted.tokens);
    expect(found.logprobs).toHaveLength(60);
    for (const [i, { logprob }] of found.logprobs.entries()) {
      expect(logprob).toBeCloseTo(wanted.logprobs[i]!.logprob, 3);
    }
  });
});

describe('a report on a prompt', () => {
  it("is that of transformers' logits, also beside others and after the same prompt", async () => {
    const { tokens, vocabulary, logits } = text;
    const wanted = tokens
      .slice(1)
      .map((token, i) => entry(logits.subarray(i * vocabulary, (i + 1) * vocabulary), token, 2));
    const asked = { prompt: tokens, maxTokens: 1, logprobs: 2, promptLogprobs: true };
    await generate({ prompt: tokens, maxTokens: 1 });
    const [report, , again] = await Promise.all([
      generate(asked),
      generate({ prompt: tokens.slice(3), maxTokens: 20 }),
      generate(asked),
    ]);
    expect(report.promptLogprobs).toEqual(wanted);
    expect(again.promptLogprobs).toEqual(wanted);
    expect(report.tokens).toEqual((await generate({ prompt: tokens, maxTokens: 1 })).tokens);
  });
});

describe('a changed sampling on a real graph', () => {
  it('takes what the processors leave, step by step', async () => {
    const prompt = text.tokens.slice(0, 15);
    const sampling = {
      ...greedy,
      repetitionPenalty: 1.3,
      frequencyPenalty: 0.6,
      presencePenalty: 0.4,
      logitBias: { 7: -100, 250: 1.5 },
    };
    const wanted: number[] = [];
    while (wanted.length < 20) {
      const row = await lastLogits([...prompt, ...wanted]);
      row[7]! -= 100;
      row[250]! += 1.5;
      for (const id of new Set([...prompt, ...wanted])) row[id]! *= row[id]! < 0 ? 1.3 : 1 / 1.3;
      for (const id of wanted) row[id]! -= 0.6;
      for (const id of new Set(wanted)) row[id]! -= 0.4;
      wanted.push(row.indexOf(Math.max(...row)));
    }
    const { tokens } = await generate({ prompt, maxTokens: 20, sampling });
    expect(tokens).toEqual(wanted);
    expect((await generate({ prompt, maxTokens: 20 })).tokens).not.toEqual(wanted);
  });

  it('does not end before the least length', async () => {
    const prompt = text.tokens.slice(0, 15);
    const [first] = (await generate({ prompt })).tokens;
    const stopTokens = [first!];
    expect((await generate({ prompt, stopTokens })).tokens).toEqual([]);
    const { tokens } = await generate({ prompt, stopTokens, minTokens: 5 });
    expect(tokens.length).toBeGreaterThanOrEqual(5);
    expect(tokens).not.toContain(first);
  });

  it('repeats typical sampling for a seed', async () => {
    const prompt = text.tokens.slice(0, 15);
    const sampling = { temperature: 1, topP: 1, topK: 0, minP: 0, typicalP: 0.3 };
    const once = (seed: number) => generate({ prompt, maxTokens: 30, sampling: { ...sampling, seed } });
    const [one, again, other] = await Promise.all([once(1), once(1), once(2)]);
    expect(again).toEqual(one);
    expect(other).not.toEqual(one);
  });
});
