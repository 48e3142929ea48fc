import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { Decoder } from '../../artifact/decoder/decoder.ts';
import { type CacheType, decoderOptions } from '../../artifact/decoder/decoder-options.ts';
import { openCheckpoint } from '../../compressor/checkpoint/open.ts';
import { createEngine } from '../../functions/engine/create-engine.ts';
import type { EngineStats, GenerationRequest, Sampling } from '../../functions/engine/engine.ts';
import { ModelRows } from '../../functions/engine/model-rows.ts';
import { VocabularyWeights } from '../../functions/engine/sampling/vocabulary-weights.ts';
import { Scheduler } from '../../functions/engine/scheduler.ts';
import { DraftModel } from '../../functions/engine/speculation/draft-model.ts';
import { type FoldedPico, foldInto } from '../fixtures/fold-into.ts';
import { modelTime } from '../fixtures/model-time.ts';
import { golden, picoPath } from '../fixtures/pico.ts';

/** Of the pico checkpoints. */
const contextLength = 128;
const vocabularySize = 288;

const greedy = { temperature: 0, topP: 1, topK: 0, minP: 0 };
const samplings: Sampling[] = [
  greedy,
  { ...greedy, temperature: 0.4, seed: 5 },
  { ...greedy, temperature: 1, topP: 0.95, topK: 50, seed: 1 },
  { ...greedy, temperature: 1, topK: 50, seed: 2, repetitionPenalty: 1.3 },
];

let folder: string;
/** Unfolded; the same with two thirds of its layers; another model of the same vocabulary. */
let [whole, fewer, other]: FoldedPico[] = [];
let prompt: number[];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'foldgate-draft-'));
  const checkpoint = await openCheckpoint(picoPath('llama'));
  const { tokens } = await golden('llama');
  whole = await foldInto(folder, checkpoint, { name: 'whole', cacheText: [Int32Array.from(tokens)] });
  fewer = await foldInto(folder, checkpoint, { name: 'fewer', remove: 0.34, scores: [3, 1, 2] });
  await checkpoint.close();
  const unlike = await openCheckpoint(picoPath('qwen2'));
  other = await foldInto(folder, unlike, { name: 'other' });
  await unlike.close();
  prompt = tokens.slice(0, 20);
});
afterAll(() => rm(folder, { recursive: true }));
afterEach(() => vi.restoreAllMocks());

describe('texts of a model that another drafts for', () => {
  interface Made {
    texts: number[][];
    stats: EngineStats['speculation']['draft_model'];
  }

  /** Prompts one after the other, on a machine where drafting a token takes a fifth of making one. */
  async function texts(drafting: FoldedPico | undefined): Promise<Made> {
    const weights = new VocabularyWeights(vocabularySize);
    const open = ({ manifest, graphPath }: FoldedPico) =>
      new Decoder({ ...decoderOptions(manifest, graphPath, contextLength), threads: 1, spinning: false });
    const decoders = [whole!, ...(drafting ? [drafting] : [])].map(open);
    const time = modelTime();
    const [rows, draftRows] = decoders.map((decoder, i) =>
      time.take(new ModelRows(decoder, 1), (tokens) => (i === 0 ? 10 + 0.5 * tokens : 2 + 0.1 * tokens)),
    );
    const made: number[][] = samplings.map(() => []);
    const ended = Promise.withResolvers<void>();
    const draft = draftRows && new DraftModel(draftRows, contextLength);
    const scheduler = new Scheduler(
      rows!,
      { weights, draft },
      {
        onChunk: (id, { tokens }) => made[id]!.push(...tokens),
        onError: (_, error) => ended.reject(error),
        onIdle: ended.resolve,
      },
    );
    try {
      for (const [id, sampling] of samplings.entries()) {
        const request = { sampling, maxTokens: 100, stopTokens: [], delivery: 'end' as const };
        scheduler.add(id, { ...request, prompt: Int32Array.from(prompt) });
      }
      await ended.promise;
      return { texts: made, stats: scheduler.stats.speculation.draft_model };
    } finally {
      for (const decoder of decoders) decoder[Symbol.dispose]();
      weights[Symbol.dispose]();
    }
  }

  it('are its own, greedy and by seed, whatever the other guesses', async () => {
    const plain = await texts(undefined);
    expect(plain.texts.map(({ length }) => length)).toEqual([100, 100, 100, 100]);
    const [itself, smaller, unlike] = [await texts(whole), await texts(fewer), await texts(other)];
    for (const drafted of [itself, smaller, unlike]) expect(drafted.texts).toEqual(plain.texts);
    // Greedy texts of the model itself come true, drawn ones as often as the likeliest token is drawn.
    expect(itself.stats.accepted).toBeGreaterThan(60);
    expect(itself.stats.accepted).toBeGreaterThan(smaller.stats.accepted);
    expect(unlike.stats.accepted / unlike.stats.tokens).toBeLessThan(0.3);
    expect(unlike.stats.tokens).toBeLessThan(itself.stats.tokens);
  });
});

describe('an engine with a model that drafts', () => {
  async function run(
    drafting: FoldedPico | undefined,
    requests: Partial<GenerationRequest>[],
    kvCache: CacheType = 'float32',
  ) {
    const { manifest, graphPath } = whole!;
    await using engine = await createEngine({
      manifest,
      graphPath,
      slots: 2,
      threads: 1,
      spinning: false,
      prefixCacheBytes: 0,
      kvCache,
      draft: drafting,
    });
    const made: number[][] = [];
    for (const changed of requests) {
      const tokens: number[] = [];
      const request = { prompt, sampling: greedy, maxTokens: 100, stopTokens: [], ...changed };
      for await (const chunk of engine.generate({ ...request, delivery: 'end' }))
        tokens.push(...chunk.tokens);
      made.push(tokens);
    }
    return { made, stats: await engine.stats!() };
  }

  it('takes each guess of a model that is the same', async () => {
    const plain = await run(undefined, [{}, { maxTokens: 40 }]);
    const drafted = await run(whole, [{}, { maxTokens: 40 }]);
    expect(drafted.made).toEqual(plain.made);
    const { drafts, tokens, accepted } = drafted.stats.speculation.draft_model;
    expect(drafts).toBeGreaterThan(0);
    expect(accepted).toBe(tokens);
    expect(plain.stats.speculation.draft_model.drafts).toBe(0);
    expect(drafted.stats.kvLimitBytes).toBe(plain.stats.kvLimitBytes * 1.5); // a row beside two
    expect(drafted.stats.kvBytes).toBeGreaterThan(0);
  });

  it('may keep its own keys and values in int8', async () => {
    const [plain, drafted] = [await run(undefined, [{}], 'int8'), await run(whole, [{}], 'int8')];
    expect(drafted.made).toEqual(plain.made);
    expect(drafted.stats.speculation.draft_model.accepted).toBeGreaterThan(0);
    // A row in float32 beside two of a quarter.
    expect(drafted.stats.kvLimitBytes).toBe(plain.stats.kvLimitBytes * 3);
  });

  it('says so where the other cannot be opened', async () => {
    const graphPath = join(folder, 'nothing');
    await expect(run({ ...fewer!, graphPath }, [{}])).rejects.toThrow('could not be opened');
  });
});
