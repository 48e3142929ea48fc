import { describe, expect, it } from 'vitest';
import { UsageError } from '../../../artifact/errors.ts';
import { matrixKinds } from '../../../artifact/manifest.ts';
import type { Checkpoint } from '../../../compressor/checkpoint/checkpoint.ts';
import { makePlan } from '../../../compressor/plan/make-plan.ts';
import type { SharedWeights } from '../../../compressor/plan/plan.ts';
import {
  bitsBudget,
  defaultBlockSize,
  formatPrecision,
  parsePrecision,
  resolvePrecision,
} from '../../../compressor/quantize/precision.ts';
import { picoArchitecture, randomCheckpoint } from '../../fixtures/random-checkpoint.ts';

describe('parsePrecision', () => {
  it('takes one form for all', () => {
    const int8 = parsePrecision('int8:64');
    for (const kind of matrixKinds) expect(int8[kind]).toEqual({ bits: 8, blockSize: 64 });
    const none = parsePrecision('none');
    for (const kind of matrixKinds) expect(none[kind]).toEqual({ bits: 32 });
  });

  it('spares the embedding int4 unless it is asked for', () => {
    expect(parsePrecision('int4').embedding).toEqual({ bits: 8 });
    expect(parsePrecision('int4:32').embedding).toEqual({ bits: 8, blockSize: 32 });
    expect(parsePrecision('int4').down).toEqual({ bits: 4 });
    expect(parsePrecision('int4,embedding=int4').embedding).toEqual({ bits: 4 });
  });

  it('takes a budget as int4 and what may be spent beyond', () => {
    expect(parsePrecision('auto:5')).toEqual(parsePrecision('int4'));
    expect(parsePrecision('auto:5.25,down=int8:64').down).toEqual({ bits: 8, blockSize: 64 });
    expect(bitsBudget('auto:5')).toBe(5);
    expect(bitsBudget('auto:5.25,down=int8:64')).toBe(5.25);
    for (const form of ['int4', 'int8:64', 'none']) expect(bitsBudget(form)).toBeUndefined();
  });

  it('takes exceptions by kind, the last one counting', () => {
    expect(parsePrecision('int4:128, down=int8, embedding=none, down=int8:32')).toEqual({
      qkv: { bits: 4, blockSize: 128 },
      output: { bits: 4, blockSize: 128 },
      gate: { bits: 4, blockSize: 128 },
      up: { bits: 4, blockSize: 128 },
      down: { bits: 8, blockSize: 32 },
      embedding: { bits: 32 },
    });
  });

  it.each([
    ['', '""'],
    ['int5', '"int5"'],
    ['INT4', '"INT4"'],
    ['int4:', '"int4:"'],
    ['int4:0', '"int4:0"'],
    ['int4:16', '"int4:16"'],
    ['int4:256', '"int4:256"'],
    ['int4:32:64', '"int4:32:64"'],
    ['none:32', '"none:32"'],
    ['toString', '"toString"'],
    ['int4,', '""'],
    ['int4,head=int8', '"head=int8"'],
    ['int4,down', '"down"'],
    ['int4,down=', '""'],
    ['int4,down=int8=int4', '"down=int8=int4"'],
    ['int4,down=q8', '"q8"'],
    ['auto', '"auto"'],
    ['auto:', '"auto:"'],
    ['auto:five', '"auto:five"'],
    ['auto:5:64', '"auto:5:64"'],
    ['int4,down=auto:5', '"auto:5"'],
  ])('refuses %j and names what is wrong', (text, named) => {
    const parse = () => parsePrecision(text);
    expect(parse).toThrow(UsageError);
    expect(parse).toThrow(named);
    expect(parse).toThrow(`Quantization "${text}"`);
  });
});

describe('formatPrecision', () => {
  it.each(['int4:32', 'int4:64', 'int4:128', 'int8:32', 'int8:64', 'int8:128', 'none'])(
    'writes %s as it is read',
    (form) => {
      expect(formatPrecision(parsePrecision(form).down)).toBe(form);
    },
  );
});

describe('defaultBlockSize', () => {
  it.each([
    // Padding of at most an eighth.
    [32, 32],
    [64, 64],
    [96, 32],
    [114, 128],
    [113, 32], // 128 is 13.3 % more
    [128, 128],
    [192, 64],
    [288, 64],
    [284, 32], // 320 is 12.7 % more
    [448, 64], // 512 is 14.3 % more
    [576, 128], // SmolLM2-135M: 640 is 11.1 % more
    [896, 128],
    [1536, 128],
    [4096, 128],
    [4864, 128],
  ])('of %i inputs is %i', (inputs, size) => {
    expect(defaultBlockSize(inputs)).toBe(size);
  });
});

describe('resolvePrecision', () => {
  const layers = picoArchitecture.layers.length;
  const planFor = (quantize: string, share = 1, weights: SharedWeights = 'first') =>
    makePlan(
      { name: 'random', layers },
      { method: 'none', scores: new Array(layers).fill(1) },
      { remove: 0, share, weights, quantize, keep: [] },
    );
  const resolve = (checkpoint: Checkpoint, quantize: string, share?: number, weights?: SharedWeights) =>
    resolvePrecision(checkpoint, planFor(quantize, share, weights), parsePrecision(quantize));

  it('leaves what is fixed and fills in the rest by the width', () => {
    // Width 64, intermediate size 96.
    expect(resolve(randomCheckpoint(), 'int4,up=int8:32,gate=none')).toEqual({
      qkv: { bits: 4, blockSize: 64 },
      output: { bits: 4, blockSize: 64 },
      gate: { bits: 32 },
      up: { bits: 8, blockSize: 32 },
      down: { bits: 4, blockSize: 32 },
      embedding: { bits: 8, blockSize: 64 },
    });
  });

  it("keeps a checkpoint's own blocks where every tensor has them in these bits", () => {
    const checkpoint = withStoredForm(randomCheckpoint(), () => 'Q4_0');
    const precision = resolve(checkpoint, 'int4');
    expect(precision.qkv).toEqual({ bits: 4, blockSize: 32 });
    expect(precision.embedding).toEqual({ bits: 8, blockSize: 64 }); // other bits: quantized anew
    expect(resolve(checkpoint, 'int4:128').qkv).toEqual({ bits: 4, blockSize: 128 }); // as asked
    expect(resolve(checkpoint, 'int8').qkv).toEqual({ bits: 8, blockSize: 64 });
  });

  it('does not where one tensor of the kind lies otherwise', () => {
    const checkpoint = withStoredForm(randomCheckpoint(), (role) =>
      role === 'layers.2.attention.v' ? 'Q6_K' : 'Q4_0',
    );
    const precision = resolve(checkpoint, 'int4');
    expect(precision.qkv).toEqual({ bits: 4, blockSize: 64 });
    expect(precision.output).toEqual({ bits: 4, blockSize: 32 });
    // Shared in pairs by the first, layer 2 still counts; by threes it is gone.
    expect(resolve(checkpoint, 'int4', 2).qkv.blockSize).toBe(64);
    expect(resolve(checkpoint, 'int4', 3).qkv.blockSize).toBe(32);
  });

  it('does not where weights are mixed', () => {
    const checkpoint = withStoredForm(randomCheckpoint(), () => 'Q8_0');
    expect(resolve(checkpoint, 'int8', 2, 'first').qkv.blockSize).toBe(32);
    expect(resolve(checkpoint, 'int8', 2, 'mean').qkv.blockSize).toBe(64);
    expect(resolve(checkpoint, 'int8', 2, 'mean').embedding.blockSize).toBe(32); // never mixed
  });

  it('asks the head too where it is a tensor of its own', () => {
    const untied = randomCheckpoint({ ...picoArchitecture, tiedHead: false });
    const form = (head: string) => withStoredForm(untied, (role) => (role === 'head' ? head : 'Q8_0'));
    expect(resolve(form('Q8_0'), 'int8').embedding.blockSize).toBe(32);
    expect(resolve(form('F16'), 'int8').embedding.blockSize).toBe(64);
  });
});

/** The same checkpoint claiming to store its tensors so; the blocks themselves are never asked for here. */
function withStoredForm(checkpoint: Checkpoint, formOf: (role: string) => string): Checkpoint {
  return {
    ...checkpoint,
    tensor: (role) => ({
      ...checkpoint.tensor(role),
      storedAs: formOf(role),
      readBlocks: () => Promise.reject(new Error('not asked for')),
    }),
  };
}
