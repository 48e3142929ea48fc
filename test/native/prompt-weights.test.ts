import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Decoder } from '../../artifact/decoder/decoder.ts';
import { withResource } from '../../artifact/dispose.ts';
import { bytesOf } from '../../artifact/manifest.ts';
import { openLocalModel } from '../../artifact/models/open-local.ts';
import { openCheckpoint } from '../../compressor/checkpoint/open.ts';
import { createEngine } from '../../functions/engine/create-engine.ts';
import type { GenerationRequest } from '../../functions/engine/engine.ts';
import { foldgate } from '../fixtures/command-line.ts';
import { floats } from '../fixtures/floats.ts';
import { type FoldedPico, type FoldPicoOptions, foldInto, withDecoder } from '../fixtures/fold-into.ts';
import { golden, maxDifference, picoFamilies, picoPath } from '../fixtures/pico.ts';

const capacity = 64;

/** A value on the border between two codes falls to either side by its last bits, and moves the logits by so much. */
const tolerance = 0.02;

/** By family, after all golden tokens: [vocabulary], base64 of float32. */
const goldens: Record<string, string> = JSON.parse(
  await readFile(new URL('../fixtures/prompt-weights/golden.json', import.meta.url), 'utf8'),
);

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'foldgate-prompt-weights-'));
});
afterAll(() => rm(folder, { recursive: true }));

async function fold(
  family: (typeof picoFamilies)[number],
  name: string,
  options: FoldPicoOptions = {},
): Promise<FoldedPico> {
  const { tokens } = await golden(family);
  const checkpoint = await openCheckpoint(picoPath(family));
  try {
    const cacheText = [Int32Array.from(tokens)];
    return await foldInto(join(folder, name), checkpoint, { promptWeights: 'int8', cacheText, ...options });
  } finally {
    await checkpoint.close();
  }
}

/** Keys and values of a prompt that is read in pieces of these sizes, and the logits after one more token. */
function readInPieces(decoder: Decoder, tokens: readonly number[], ...sizes: number[]) {
  const cache = decoder.newCache();
  let at = 0;
  for (const size of [...sizes, tokens.length - 1 - sizes.reduce((sum, size) => sum + size, 0)]) {
    decoder.read(cache, tokens.slice(at, at + size));
    at += size;
  }
  const { data } = cache.save(0);
  return { data, logits: decoder.run(cache, tokens.slice(at)).slice() };
}

describe.each(picoFamilies)('int8 weights for prompts of %s', (family) => {
  it('read as in PyTorch with rounded matrices, whatever the pieces', async () => {
    const { tokens, vocabulary, logits: plain } = await golden(family);
    const expected = floats(goldens[family]!);
    await withDecoder(await fold(family, family), capacity, async (decoder) => {
      const { data, logits } = readInPieces(decoder, tokens);
      const moved = maxDifference(plain.subarray(-vocabulary), expected);
      const error = maxDifference(logits, expected);
      expect(error).toBeLessThan(tolerance);
      expect(error).toBeLessThan(moved / 2); // rounding itself shows
      const pieces = readInPieces(decoder, tokens, 10, 4, 9);
      for (const [i, part] of pieces.data.entries()) expect(maxDifference(part, data[i]!)).toBe(0);
      expect(maxDifference(pieces.logits, logits)).toBe(0);
    });
  });
});

describe('a model with weights for prompts', () => {
  const folds: [string, FoldPicoOptions][] = [
    ['shared blocks in int8', { share: 2, quantize: 'int8' }],
    ['gains and low-rank matrices', { share: 2, adapter: { gains: true, rank: 4 } }],
    ['a layer that runs its MLP alone', { layers: withMlpAlone(1) }],
    ['a last layer without a cache', { layers: withMlpAlone(2) }],
  ];
  it.each(folds)('has %s', async (name, options) => {
    const { tokens } = await golden('llama');
    const folded = await fold('llama', name, options);
    const exact = await fold('llama', `${name}, plain`, { ...options, promptWeights: 'same' });
    const blocks = new Set(folded.manifest.layers.map(({ block }) => block)).size;
    expect(folded.manifest.promptWeights!.blocks).toHaveLength(blocks);
    for (const kvCache of ['float32', 'int8'] as const) {
      const logitsOf = (model: FoldedPico) =>
        withDecoder(model, capacity, async (decoder) => readInPieces(decoder, tokens).logits, kvCache);
      const [rounded, plain] = [await logitsOf(folded), await logitsOf(exact)];
      const difference = maxDifference(rounded, plain);
      expect(difference).toBeGreaterThan(0);
      expect(difference).toBeLessThan(0.15 * Math.max(...plain.map(Math.abs)));
    }
  });

  it('is fetched and counted without them where nobody wants them', async () => {
    const { manifest, result } = await fold('llama', 'asked');
    const url = `file:${join(folder, 'asked', 'store')}/pico`;
    const plain = await openLocalModel(url, { promptWeights: 'same' });
    expect(plain.manifest.promptWeights).toBeUndefined();
    const { graph, int8CacheGraph, blocks } = manifest.promptWeights!;
    const own = [graph, int8CacheGraph!, ...blocks].reduce((sum, { bytes }) => sum + bytes, 0);
    expect(bytesOf(result.manifest) - bytesOf(plain.manifest)).toBe(own);
    for (const { sha256 } of blocks)
      await rm(join(folder, 'asked', 'store', 'blobs', sha256), { recursive: true });
    await openLocalModel(url, { promptWeights: 'same' }); // still whole
    await expect(openLocalModel(url)).rejects.toThrow(blocks[0]!.sha256);
  });

  it('tells how to come by them where it has none, also by command', async () => {
    await fold('llama', 'none', { promptWeights: 'same' });
    const url = `file:${join(folder, 'none', 'store')}/pico`;
    const told = 'pico has no int8 weights for prompts: it was folded without. Fold it again (foldgate fold';
    await expect(openLocalModel(url, { promptWeights: 'int8' })).rejects.toThrow(told);
    const int8 = ['--prompt-weights', 'int8'];
    for (const args of [
      ['eval', url, '--generate', '--tokens', '2', ...int8],
      ['run', url, 'a', ...int8],
      ['prefixes', 'add', url, '--text', 'none.txt', ...int8],
    ]) {
      const { code, stderr } = await foldgate(...args);
      expect(code, stderr).toBe(2);
      expect(stderr).toContain(told);
    }
    const unfolded = await foldgate('eval', picoPath('llama'), '--generate', '--tokens', '2', ...int8);
    expect(unfolded.code).toBe(2);
    expect(unfolded.stderr).toContain('which runs in float32');
  });

  it('is folded and measured by command', async () => {
    const url = `file:${join(folder, 'commands')}/pico`;
    const fold = await foldgate(
      'fold',
      picoPath('qwen3'),
      '--no-quality',
      '--prompt-weights',
      'int8',
      '--out',
      url,
    );
    expect(fold.code, fold.stderr).toBe(0);
    const text = join(folder, 'text.txt');
    await writeFile(text, 'Once upon a time there was a little girl who lived in a small house. '.repeat(6));
    const strided = ['eval', url, '--text', text, '--window', '32', '--stride', '16', '--json'];
    const perplexity = async (...more: string[]) => {
      const { code, stdout, stderr } = await foldgate(...strided, ...more);
      expect(code, stderr).toBe(0);
      return JSON.parse(stdout).perplexity as number;
    };
    const [same, int8] = [await perplexity('--prompt-weights', 'same'), await perplexity()];
    expect(await perplexity('--prompt-weights', 'int8')).toBe(int8);
    expect(int8).not.toBe(same);
    expect(Math.abs(int8 / same - 1)).toBeLessThan(0.1);
    const inspected = JSON.parse((await foldgate('inspect', url, '--json')).stdout);
    expect(inspected.folding.options.promptWeights).toBe('int8');
    const told = (await foldgate('inspect', url)).stdout;
    expect(told).toMatch(/^size .* [kM]B, [\d.]+ [kM]B of them to read prompts with$/m);
    const roles = (inspected.blobs as { role: string }[]).map(({ role }) => role);
    expect(roles).toEqual(
      expect.arrayContaining(['prompt graph', 'int8 prompt graph', 'prompt block 0', 'prompt block 2']),
    );
  });
});

describe('an engine whose prompts have weights of their own', () => {
  const request = (prompt: number[], more: Partial<GenerationRequest> = {}): GenerationRequest => ({
    prompt,
    maxTokens: 8,
    sampling: { temperature: 0, topP: 1, topK: 0, minP: 0 },
    stopTokens: [],
    delivery: 'end',
    ...more,
  });

  it('answers as its decoder does, alone, together, and where it knows beginnings', async () => {
    const folded = await fold('llama', 'engine'); // answers in float32, which no batch moves
    const { manifest, graphPath } = folded;
    const long = Array.from({ length: 50 }, (_, i) => (i * 37 + 11) % 280);
    const prompts = [1, 2, 3, 4, 20, 21, 37, 50].map((length) => long.slice(0, length));
    const expected = await withDecoder(folded, capacity, async (decoder) =>
      prompts.map((prompt) => {
        const cache = decoder.newCache();
        const made: number[] = [];
        while (made.length < 8) {
          const logits =
            made.length === 0 ? decoder.prompt(cache, prompt) : decoder.run(cache, made.slice(-1));
          made.push(logits.indexOf(Math.max(...logits)));
        }
        return made;
      }),
    );
    const options = { manifest, graphPath, slots: 4, threads: 1, spinning: false };
    for (const prefixCacheBytes of [0, 1e7]) {
      await withResource(await createEngine({ ...options, prefixCacheBytes }), async (engine) => {
        const made = async (prompt: number[], more?: Partial<GenerationRequest>) => {
          const tokens: number[] = [];
          let cached = 0;
          for await (const chunk of engine.generate(request(prompt, more))) {
            tokens.push(...chunk.tokens);
            cached = chunk.cachedTokens ?? 0;
          }
          return { tokens, cached };
        };
        const together = await Promise.all(prompts.map((prompt) => made(prompt)));
        expect(together.map(({ tokens }) => tokens)).toEqual(expected);
        for (const [i, prompt] of prompts.entries()) expect((await made(prompt)).tokens).toEqual(expected[i]);
        const { cached } = await made(prompts.at(-1)!);
        if (prefixCacheBytes > 0) expect(cached).toBeGreaterThan(44);
        else expect(cached).toBe(0);
      });
    }
  });
});

/** Layers of the pico llama of which one runs its MLP alone. */
function withMlpAlone(layer: number): NonNullable<FoldPicoOptions['layers']> {
  const mlp = { half: 'mlp' as const };
  return [0, 1, 2].map((source) => ({ source, block: source, ...(source === layer && mlp) }));
}
