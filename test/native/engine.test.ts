import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openCheckpoint } from '../../compressor/checkpoint/open.ts';
import { createEngine } from '../../functions/engine/create-engine.ts';
import {
  type Engine,
  EngineError,
  type GenerationChunk,
  type GenerationRequest,
} from '../../functions/engine/engine.ts';
import { type FoldedPico, foldInto, withDecoder } from '../fixtures/fold-into.ts';
import { golden, picoPath } from '../fixtures/pico.ts';
import { picoArchitecture, randomCheckpoint } from '../fixtures/random-checkpoint.ts';

/** Of the pico checkpoints; also the length of their context. */
const contextLength = 128;

const greedy = { temperature: 0, topP: 1, topK: 0, minP: 0 };
const sampled = { temperature: 1, topP: 0.95, topK: 50, minP: 0 };

let folder: string;
let folded: FoldedPico;
let prompt: number[];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'foldgate-engine-'));
  const checkpoint = await openCheckpoint(picoPath('llama'));
  folded = await foldInto(folder, checkpoint, { share: 2, quantize: 'int8' });
  await checkpoint.close();
  prompt = (await golden('llama')).tokens.slice(0, 20);
});
afterAll(() => rm(folder, { recursive: true }));

const request = (changed: Partial<GenerationRequest> = {}): GenerationRequest => ({
  prompt,
  maxTokens: 12,
  sampling: greedy,
  stopTokens: [],
  delivery: 'each',
  ...changed,
});

async function chunksOf(stream: AsyncIterable<GenerationChunk>): Promise<GenerationChunk[]> {
  const chunks: GenerationChunk[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return chunks;
}
const tokensOf = async (stream: AsyncIterable<GenerationChunk>) =>
  (await chunksOf(stream)).flatMap((chunk) => chunk.tokens);

/** The likeliest token after all tokens so far, the whole text read anew each time. */
function greedyTokens(start: number[], count: number): Promise<number[]> {
  return withDecoder(folded, contextLength, async (decoder) => {
    const tokens = start.slice();
    while (tokens.length < start.length + count) {
      const logits = await decoder.runAll(decoder.newCache(), tokens);
      const last = logits.subarray(logits.length - folded.manifest.dimensions.vocabularySize);
      tokens.push(last.indexOf(Math.max(...last)));
    }
    return tokens.slice(start.length);
  });
}

describe('the engine', () => {
  let engine: Engine;
  beforeAll(async () => {
    const { manifest, graphPath } = folded;
    engine = await createEngine({ manifest, graphPath, slots: 3, threads: 1, spinning: false });
  });
  afterAll(() => engine?.[Symbol.asyncDispose]());

  it('tells its limits', () => {
    expect(engine.limits).toEqual({ contextLength, vocabularySize: 288 });
  });

  it('decodes greedily what reading the whole text anew for each token gives', async () => {
    expect(await tokensOf(engine.generate(request()))).toEqual(await greedyTokens(prompt, 12));
    const one = [prompt[0]!];
    expect(await tokensOf(engine.generate(request({ prompt: one })))).toEqual(await greedyTokens(one, 12));
  });

  it('delivers each token, or all of them at the end', async () => {
    const each = await chunksOf(engine.generate(request()));
    const [atEnd, ...others] = await chunksOf(engine.generate(request({ delivery: 'end' })));
    expect(each).toHaveLength(12);
    for (const chunk of each) expect(chunk.tokens).toHaveLength(1);
    expect(others).toEqual([]);
    expect(atEnd!.tokens).toEqual(each.flatMap((chunk) => chunk.tokens));
    for (const last of [atEnd!, each.at(-1)!]) {
      expect(last).toMatchObject({ finish: 'length', timings: { queue: expect.any(Number) } });
    }
  });

  it('ends at a stop token', async () => {
    const tokens = await tokensOf(engine.generate(request()));
    const at = tokens.findIndex((token, i) => i > 2 && tokens.indexOf(token) === i);
    const chunks = await chunksOf(engine.generate(request({ stopTokens: [tokens[at]!] })));
    expect(chunks.flatMap((chunk) => chunk.tokens)).toEqual(tokens.slice(0, at));
    expect(chunks.at(-1)!.finish).toBe('stop');
  });

  it('repeats sampled tokens for a seed, whatever else runs', async () => {
    const one = (seed: number) =>
      tokensOf(engine.generate(request({ sampling: { ...sampled, seed }, maxTokens: 40 })));
    const alone = await one(7);
    const [beside, other] = await Promise.all([one(7), one(8), one(9), one(10)]);
    expect(beside).toEqual(alone);
    expect(other).not.toEqual(alone);
  });

  it('gives sequences that run at once, and more than it has slots for, what each gets alone', async () => {
    const prompts = Array.from({ length: 20 }, (_, i) => prompt.slice(i % 10, (i % 10) + 5));
    const alone: number[][] = [];
    for (const own of prompts.slice(0, 10))
      alone.push(await tokensOf(engine.generate(request({ prompt: own }))));
    const together = await Promise.all(
      prompts.map((own) => tokensOf(engine.generate(request({ prompt: own })))),
    );
    together.forEach((tokens, i) => {
      expect(tokens).toEqual(alone[i % 10]);
    });
  });

  it('generates up to the end of the context and no further', async () => {
    const start = prompt.slice(0, 10);
    const chunks = await chunksOf(engine.generate(request({ prompt: start, maxTokens: 1e6 })));
    const tokens = chunks.flatMap((chunk) => chunk.tokens);
    expect(tokens).toHaveLength(contextLength - start.length);
    expect(chunks.at(-1)!.finish).toBe('length');
    expect(tokens).toEqual(await greedyTokens(start, tokens.length));
  });

  it('takes a prompt that leaves room for one token, not one that leaves none', async () => {
    const long = (length: number) => Array.from({ length }, (_, i) => prompt[i % prompt.length]!);
    const chunks = await chunksOf(engine.generate(request({ prompt: long(contextLength - 1) })));
    expect(chunks).toMatchObject([{ tokens: [expect.any(Number)], finish: 'length' }]);
    for (const [tokens, message] of [
      [long(contextLength), '128 tokens; the context holds 128'],
      [[], 'no tokens'],
    ] as const) {
      const refused = chunksOf(engine.generate(request({ prompt: [...tokens] })));
      await expect(refused).rejects.toThrow(RangeError);
      await expect(refused).rejects.toThrow(message);
    }
  });

  it('stops where the caller leaves the loop, and goes on for others', async () => {
    for await (const chunk of engine.generate(request({ maxTokens: 100 }))) {
      if (chunk.tokens.length > 0) break;
    }
    expect(await tokensOf(engine.generate(request()))).toEqual(await greedyTokens(prompt, 12));
  });

  it('stops at a signal with its reason, and goes on for others', async () => {
    const controller = new AbortController();
    const reason = new Error('the client left');
    let seen = 0;
    const run = async () => {
      for await (const _ of engine.generate(request({ maxTokens: 100 }), controller.signal)) {
        if (++seen === 3) controller.abort(reason);
      }
    };
    await expect(run()).rejects.toBe(reason);
    expect(seen).toBeLessThan(100);
    expect(await tokensOf(engine.generate(request()))).toEqual(await greedyTokens(prompt, 12));
  });

  it('does not begin for a signal that has gone off', async () => {
    await expect(chunksOf(engine.generate(request(), AbortSignal.abort()))).rejects.toThrow(/abort/i);
  });

  it('frees the slots of those who left', async () => {
    // More than there are slots leave early, some before their first token: a slot lost would stall the last.
    const leavers = Array.from({ length: 9 }, async (_, i) => {
      const controller = new AbortController();
      const stream = engine.generate(request({ maxTokens: 100 }), controller.signal);
      if (i % 2 === 0) queueMicrotask(() => controller.abort());
      await (async () => {
        for await (const _ of stream) break;
      })().catch(() => {});
    });
    await Promise.all(leavers);
    expect(await tokensOf(engine.generate(request()))).toHaveLength(12);
  });

  it('fails a token that the vocabulary lacks by itself', async () => {
    const [bad, good] = await Promise.allSettled([
      chunksOf(engine.generate(request({ prompt: [5, 100_000] }))),
      tokensOf(engine.generate(request())),
    ]);
    expect(bad).toMatchObject({ status: 'rejected', reason: expect.any(EngineError) });
    expect(good).toMatchObject({ status: 'fulfilled', value: await greedyTokens(prompt, 12) });
  });
});

describe('guessing tokens', () => {
  it('changes no text, greedy or sampled', async () => {
    const { manifest, graphPath } = folded;
    const texts = async (speculation: boolean) => {
      const options = { manifest, graphPath, slots: 1, threads: 1, spinning: false, speculation };
      await using engine = await createEngine(options);
      const again = [...prompt, ...prompt, ...prompt.slice(0, 5)];
      const made: number[][] = [];
      for (const sampling of [greedy, { ...greedy, temperature: 0.3, seed: 5 }, { ...sampled, seed: 1 }]) {
        made.push(await tokensOf(engine.generate(request({ prompt: again, maxTokens: 60, sampling }))));
      }
      return made;
    };
    expect(await texts(true)).toEqual(await texts(false));
  });
});

describe('an engine of a shorter context', () => {
  it('keeps to it', async () => {
    const { manifest, graphPath } = folded;
    const engine = await createEngine({ manifest, graphPath, threads: 1, contextLength: 24 });
    expect(engine.limits.contextLength).toBe(24);
    expect(await tokensOf(engine.generate(request({ maxTokens: 50 })))).toEqual(
      await greedyTokens(prompt, 4),
    );
    await engine[Symbol.asyncDispose]();
    const longer = await createEngine({ manifest, graphPath, threads: 1, contextLength: 1e6 });
    expect(longer.limits.contextLength).toBe(contextLength); // its rotary tables end there
    await longer[Symbol.asyncDispose]();
  });
});

describe('an engine whose files are still to come', () => {
  it('opens the model when they are there', async () => {
    const { manifest, graphPath } = folded;
    const arriving = join(folder, 'arriving');
    await cp(dirname(graphPath), arriving, { recursive: true });
    const graph = join(arriving, basename(graphPath));
    const bytes = await readFile(graph);
    await rm(graph); // an engine that did not wait would fail
    const files = Promise.withResolvers<void>();
    const opening = createEngine({ manifest, graphPath: graph, threads: 1, files: files.promise });
    // By the time that a later one is ready, it would have opened what is not there.
    const later = await createEngine({ manifest, graphPath, threads: 1 });
    await later[Symbol.asyncDispose]();
    await writeFile(graph, bytes);
    files.resolve();
    const engine = await opening;
    expect(await tokensOf(engine.generate(request({ maxTokens: 4 })))).toEqual(await greedyTokens(prompt, 4));
    await engine[Symbol.asyncDispose]();
  });
});

describe('an engine that fails', () => {
  it.each([
    ['is not there', undefined],
    ['is no graph', new TextEncoder().encode('no graph')],
    ['is empty', new Uint8Array(0)],
  ])('to open because the graph %s says so', async (_what, bytes) => {
    const graphPath = join(folder, `broken-${bytes?.length}`);
    if (bytes) await writeFile(graphPath, bytes);
    const opening = createEngine({ manifest: folded.manifest, graphPath });
    await expect(opening).rejects.toThrow(EngineError);
    await expect(opening).rejects.toThrow('could not be opened');
  });

  it('to get its files says why', async () => {
    const { manifest, graphPath } = folded;
    const files = Promise.reject(new Error('the store is gone'));
    await expect(createEngine({ manifest, graphPath, files })).rejects.toThrow('the store is gone');
  });

  it('is told from one that was closed', async () => {
    const { manifest, graphPath } = folded;
    const engine = await createEngine({ manifest, graphPath, threads: 1 });
    const running = chunksOf(engine.generate(request({ maxTokens: 100 })));
    const failed = expect(running).rejects.toThrow(EngineError);
    await engine[Symbol.asyncDispose]();
    await failed;
    await expect(running).rejects.toThrow('closed');
    await expect(chunksOf(engine.generate(request()))).rejects.toThrow('closed');
    await engine[Symbol.asyncDispose](); // twice does no harm
  });
});

describe('a cache that is released', () => {
  it('has no memory any more, and others answer as before', async () => {
    await withDecoder(folded, contextLength, async (decoder) => {
      const [first, second] = [decoder.newCache(), decoder.newCache()];
      const parts = Object.values(first.binding(0, 1).past).map((tensor) => tensor.data);
      expect(parts[0]!.byteLength).toBeGreaterThan(0);
      for (const cache of [first, second]) {
        decoder.run(cache, prompt);
        decoder.run(cache, [5]); // binds the cache for single steps
      }
      decoder.release(first);
      expect(parts.map((part) => part.byteLength)).toEqual(parts.map(() => 0));
      const third = decoder.newCache();
      decoder.run(third, prompt);
      decoder.run(third, [5]);
      const logits = decoder.run(third, [6]).slice();
      expect(decoder.run(second, [6])).toEqual(logits);
    });
  });
});

describe('engines that come and go', () => {
  it('run beside each other', async () => {
    const { manifest, graphPath } = folded;
    const engines = await Promise.all([1, 2].map(() => createEngine({ manifest, graphPath, threads: 1 })));
    const answers = await Promise.all(engines.map((engine) => tokensOf(engine.generate(request()))));
    const wanted = await greedyTokens(prompt, 12);
    expect(answers).toEqual([wanted, wanted]);
    await Promise.all(engines.map((engine) => engine[Symbol.asyncDispose]()));
  });

  it('give their memory back, in the middle of an answer too', async () => {
    const large = { ...picoArchitecture, width: 512, intermediateSize: 4096 };
    const { manifest, graphPath } = await foldInto(folder, randomCheckpoint(large), {
      name: 'large',
      quantize: 'int8',
      share: 4,
    });
    const rounds: number[] = [];
    for (let round = 0; round < 8; round++) {
      const engine = await createEngine({ manifest, graphPath, threads: 1 });
      for await (const _ of engine.generate(request({ maxTokens: 100, prompt: [1, 2, 3] }))) break;
      await engine[Symbol.asyncDispose]();
      rounds.push(process.memoryUsage.rss() / 1e6);
    }
    // A model is 8 MB and as much again packed for its kernels.
    expect(rounds.at(-1)! - rounds[2]!, rounds.map(Math.round).join(', ')).toBeLessThan(50);
  });
});
