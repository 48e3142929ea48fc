import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { Tokenizer } from '@huggingface/tokenizers';
import { describe, expect, it, type TestContext } from 'vitest';
import type { Checkpoint, TensorRole } from '../../../compressor/checkpoint/checkpoint.ts';
import { openCheckpoint } from '../../../compressor/checkpoint/open.ts';
import { realModel } from '../../fixtures/models.ts';

interface Golden {
  encodings: { text: string; ids: number[] }[];
  /** Of the first text. */
  withSpecialTokens: number[];
  tensors: { role: TensorRole; storedAs: string; rows: [start: number, count: number]; sha256: string }[];
}

const architectures = {
  smollm2: {
    family: 'llama',
    width: 576,
    heads: 9,
    kvHeads: 3,
    headSize: 64,
    layers: 30,
    vocabularySize: 49_152,
  },
  qwen: {
    family: 'qwen2',
    width: 896,
    heads: 14,
    kvHeads: 2,
    headSize: 64,
    layers: 24,
    vocabularySize: 151_936,
  },
  gemma: {
    family: 'gemma3',
    width: 640,
    heads: 4,
    kvHeads: 1,
    headSize: 256,
    layers: 18,
    vocabularySize: 262_144,
  },
};
const endings = { smollm2: [2, 0], qwen: [151_645, 151_643], gemma: [1, 106] };

describe.each(['smollm2', 'qwen', 'gemma'] as const)('%s, from its GGUF file', (name) => {
  const open = (ctx: TestContext) => openCheckpoint(realModel(ctx, name));
  const golden = async (): Promise<Golden> =>
    JSON.parse(await readFile(new URL(`goldens/${name}.json`, import.meta.url), 'utf8'));

  it('has the architecture its makers published', async (ctx) => {
    const checkpoint = await open(ctx);
    const { layers, ...architecture } = checkpoint.architecture;
    expect({ ...architecture, layers: layers.length }).toMatchObject(architectures[name]);
    expect(checkpoint.tokens.eos).toEqual(endings[name]);
    await checkpoint.close();
  });

  it('encodes and decodes text as transformers does', async (ctx) => {
    const checkpoint = await open(ctx);
    const tokenizer = await tokenizerOf(checkpoint);
    const { encodings, withSpecialTokens } = await golden();
    for (const { text, ids } of encodings) {
      expect(tokenizer.encode(text, { add_special_tokens: false }).ids, JSON.stringify(text)).toEqual(ids);
    }
    expect(tokenizer.encode(encodings[0]!.text).ids).toEqual(withSpecialTokens);
    expect(tokenizer.decode(withSpecialTokens, { skip_special_tokens: true })).toBe(encodings[0]!.text);
    await checkpoint.close();
  });

  it('has the rows of every kind of tensor bit for bit', async (ctx) => {
    const checkpoint = await open(ctx);
    const { tensors } = await golden();
    expect(tensors.length).toBeGreaterThan(8);
    for (const { role, storedAs, rows, sha256 } of tensors) {
      const tensor = checkpoint.tensor(role);
      expect(tensor.storedAs).toBe(storedAs);
      expect(hashOf(await tensor.read(...rows)), role).toBe(sha256);
    }
    await checkpoint.close();
  });

  it('reads many rows in little memory', async (ctx) => {
    const checkpoint = await open(ctx);
    const embedding = checkpoint.tensor('embedding');
    const rows = 256;
    const before = process.memoryUsage();
    for (let start = 0; start + rows <= embedding.shape[0]!; start += rows * 16)
      await embedding.read(start, rows);
    const { arrayBuffers, heapUsed } = process.memoryUsage();
    // Far below the table itself; what is not collected yet counts.
    expect(arrayBuffers + heapUsed - before.arrayBuffers - before.heapUsed).toBeLessThan(200e6);
    await checkpoint.close();
  });
});

async function tokenizerOf(checkpoint: Checkpoint): Promise<Tokenizer> {
  const files = await checkpoint.tokenizerFiles();
  const json = (bytes: Uint8Array) => JSON.parse(new TextDecoder().decode(bytes));
  return new Tokenizer(json(files['tokenizer.json']), json(files['tokenizer_config.json']!));
}

function hashOf(values: Float32Array): string {
  return createHash('sha256')
    .update(new Uint8Array(values.buffer, values.byteOffset, values.byteLength))
    .digest('hex');
}
