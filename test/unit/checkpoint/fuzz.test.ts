import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { FoldgateError } from '../../../artifact/errors.ts';
import { openCheckpoint } from '../../../compressor/checkpoint/open.ts';
import { picoPath } from '../../fixtures/pico.ts';
import { writeFiles } from '../../fixtures/safetensors.ts';
import { temporaryFolder } from '../../fixtures/temporary-folder.ts';

/** Mutated files of each kind: enough to hit every field of a header. More with FUZZ_ROUNDS, for an hour of search. */
const rounds = Number(process.env.FUZZ_ROUNDS ?? 500);
/** Allocation that a file of a few KB may cause in one buffer or all together. */
const maxBytes = 64e6;
/** Milliseconds one of them may take on a busy machine. A loop without end shows as the test's timeout. */
const maxMs = 10_000;

/** Numbers that break arithmetic when they stand for a size. */
const nasty = [0n, 1n, 2n ** 31n - 1n, 2n ** 31n, 2n ** 32n - 1n, 2n ** 53n, 2n ** 63n - 1n, 2n ** 64n - 1n];

/** Mulberry32: small, seeded, good enough to pick bytes. */
function randomOf(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * below);
  };
}

/** One to four changes in the first `head` bytes: flipped bits, nasty numbers, removed, doubled and foreign bytes, cuts. */
function mutate(original: Uint8Array, head: number, random: (below: number) => number): Uint8Array {
  let bytes = new Uint8Array(original);
  for (let change = random(4); change >= 0; change--) {
    const at = random(Math.min(head, bytes.length));
    switch (random(7)) {
      case 0:
        bytes[at]! ^= 1 << random(8);
        break;
      case 1:
        bytes[at] = random(256);
        break;
      case 2:
        if (at + 8 <= bytes.length)
          new DataView(bytes.buffer).setBigUint64(at, nasty[random(nasty.length)]!, true);
        break;
      case 3:
        bytes = spliced(bytes, at, random(32), 0, random);
        break;
      case 4:
        bytes = spliced(bytes, at, 0, random(32), random);
        break;
      case 5:
        bytes.copyWithin(at, random(head), random(head));
        break;
      default:
        if (random(4) === 0) bytes = bytes.slice(0, at);
    }
  }
  return bytes;
}

function spliced(
  bytes: Uint8Array,
  at: number,
  remove: number,
  add: number,
  random: (below: number) => number,
) {
  const added = Uint8Array.from({ length: add }, () => random(256));
  return new Uint8Array(Buffer.concat([bytes.subarray(0, at), added, bytes.subarray(at + remove)]));
}

/** Opens what is at `path` and reads from it: the outcome is a whole checkpoint or a FoldgateError. */
async function outcome(path: string): Promise<'opened' | 'refused'> {
  const before = process.memoryUsage();
  const start = performance.now();
  try {
    const checkpoint = await openCheckpoint(path);
    try {
      await checkpoint.tokenizerFiles();
      await checkpoint.tensor('layers.0.attention.q').read(3, 2);
      await checkpoint.tensor('embedding').read(0, 4);
    } finally {
      await checkpoint.close();
    }
    return 'opened';
  } catch (error) {
    if (error instanceof FoldgateError) return 'refused';
    throw error;
  } finally {
    const after = process.memoryUsage();
    expect(after.arrayBuffers - before.arrayBuffers).toBeLessThan(maxBytes);
    expect(after.heapUsed - before.heapUsed).toBeLessThan(maxBytes);
    expect(performance.now() - start).toBeLessThan(maxMs);
  }
}

async function fuzz(
  write: (bytes: Uint8Array) => Promise<string>,
  original: Uint8Array,
  head: number,
  seed: number,
) {
  const counts = { opened: 0, refused: 0 };
  for (let round = 0; round < rounds; round++) {
    const path = await write(mutate(original, head, randomOf(seed * 100_000 + round)));
    try {
      counts[await outcome(path)]++;
    } catch (cause) {
      throw new Error(`seed ${seed}, round ${round}`, { cause });
    }
  }
  // Both must occur often, else the mutations test nothing.
  expect(counts.opened).toBeGreaterThan(rounds / 50);
  expect(counts.refused).toBeGreaterThan(rounds / 5);
}

describe('mutated checkpoints either open or are refused', () => {
  let folder: string;
  const llama = picoPath('llama');

  beforeAll(async () => {
    // Warm: the code itself is loaded and compiled before memory is measured.
    await outcome(llama);
    await outcome(picoPath('llama-q4_0.gguf'));
  });

  it('GGUF: any byte of the header', async () => {
    const path = join(await temporaryFolder(), 'x.gguf');
    const write = async (bytes: Uint8Array) => {
      await writeFile(path, bytes);
      return path;
    };
    const whole = await readFile(picoPath('llama-q4_0.gguf'));
    await fuzz(write, whole, whole.length, 1);
    // The beginning again: counts, keys and the first arrays.
    await fuzz(write, whole, 1500, 2);
  });

  it.each([
    ['model.safetensors', 3],
    ['config.json', 4],
    ['tokenizer_config.json', 5],
  ])('Hugging Face: %s', async (name, seed) => {
    folder = await temporaryFolder();
    const names = [
      'config.json',
      'generation_config.json',
      'tokenizer.json',
      'tokenizer_config.json',
      'model.safetensors',
    ];
    for (const file of names) await writeFiles(folder, { [file]: await readFile(join(llama, file)) });
    const write = async (bytes: Uint8Array) => {
      await writeFile(join(folder, name), bytes);
      return folder;
    };
    await fuzz(write, await readFile(join(folder, name)), 2000, seed);
  });

  it('Hugging Face: the index of a sharded one', async () => {
    const sharded = picoPath('llama-sharded');
    folder = await temporaryFolder();
    const index = 'model.safetensors.index.json';
    const names = [
      'config.json',
      'tokenizer.json',
      index,
      ...[1, 2, 3].map((n) => `model-0000${n}-of-00003.safetensors`),
    ];
    for (const file of names) await writeFiles(folder, { [file]: await readFile(join(sharded, file)) });
    const write = async (bytes: Uint8Array) => {
      await writeFile(join(folder, index), bytes);
      return folder;
    };
    await fuzz(write, await readFile(join(sharded, index)), 3000, 6);
  });
});
