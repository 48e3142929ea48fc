import { describe, expect, it } from 'vitest';
import type { Precision } from '../../artifact/manifest.ts';
import type { Checkpoint } from '../../compressor/checkpoint/checkpoint.ts';
import { openCheckpoint } from '../../compressor/checkpoint/open.ts';
import { dequantize, roundToNearest } from '../../compressor/quantize/blocks.ts';
import { type FoldedPico, foldInto, withDecoder } from '../fixtures/fold-into.ts';
import { golden, picoPath } from '../fixtures/pico.ts';
import { picoArchitecture, randomCheckpoint } from '../fixtures/random-checkpoint.ts';
import { asItIs, rewired } from '../fixtures/rewired-checkpoint.ts';
import { temporaryFolder } from '../fixtures/temporary-folder.ts';

function logitsOf(folded: FoldedPico, tokens: number[]): Promise<Float32Array> {
  return withDecoder(folded, 64, async (decoder) => decoder.runAll(decoder.newCache(), tokens));
}

/** ||a - b|| / ||b|| */
function relativeError(a: Float32Array, b: Float32Array): number {
  let [difference, norm] = [0, 0];
  for (let i = 0; i < a.length; i++) {
    difference += (a[i]! - b[i]!) ** 2;
    norm += b[i]! ** 2;
  }
  return Math.sqrt(difference / norm);
}

/** The checkpoint with each matrix replaced by what its codes stand for. */
function asStored(checkpoint: Checkpoint, quantization: Record<string, Precision>): Checkpoint {
  const kindOf = (role: string) => {
    const part = role.replace(/^layers\.\d+\./, '');
    if (/^attention\.[qkv]$/.test(part)) return 'qkv';
    return part === 'head' ? 'embedding' : part.replace(/^(attention|mlp)\./, '');
  };
  return rewired(checkpoint, asItIs(checkpoint), (role, weights, columns) => {
    const { bits, blockSize } = quantization[kindOf(role)]!;
    if (bits === 32) return weights;
    return dequantize(
      roundToNearest(weights, [weights.length / columns, columns], bits, blockSize!),
      columns,
    );
  });
}

/**
 * The kernels quantize activations to int8, a scale per block: noise of about 0.7 % of each product, for
 * normally distributed activations. Some 16 to 20 products one after the other add up to 3 %.
 */
const activationNoise = 0.05;

const tokens = Array.from({ length: 40 }, (_, i) => (i * 37 + 5) % picoArchitecture.vocabularySize);

describe('a quantized graph computes what its codes stand for', () => {
  const forms = [
    'int4:32',
    'int4:64',
    'int4:128', // wider than the matrices: padded
    'int8:32',
    'int8:64',
    'int8:128',
    'int4:32,embedding=int4:128',
    'none,embedding=int4:128',
    'none,qkv=int4',
    'none,output=int8',
    'none,gate=int4:64',
    'none,up=int8:128',
    'none,down=int4:128',
  ];
  const untied = { ...picoArchitecture, tiedHead: false, qkvBias: true };

  it.each(forms)('%s', async (quantize) => {
    const folder = await temporaryFolder();
    const checkpoint = randomCheckpoint(quantize.includes('64') ? untied : picoArchitecture);
    const quantized = await foldInto(folder, checkpoint, { quantize, name: 'quantized' });
    const reference = asStored(checkpoint, quantized.manifest.quantization);
    const float = await foldInto(folder, reference, { name: 'float' });
    const logits = await logitsOf(quantized, tokens);
    expect(relativeError(logits, await logitsOf(float, tokens))).toBeLessThan(activationNoise);
  });

  it('which int4 tells apart from what they were made from', async () => {
    const folder = await temporaryFolder();
    const checkpoint = randomCheckpoint();
    const quantized = await foldInto(folder, checkpoint, { quantize: 'int4', name: 'quantized' });
    const whole = await foldInto(folder, checkpoint, { name: 'whole' });
    const error = relativeError(await logitsOf(quantized, tokens), await logitsOf(whole, tokens));
    expect(error).toBeGreaterThan(2 * activationNoise);
  });

  it.each(['llama', 'qwen2', 'gemma3'] as const)('of %s, 32 wide in blocks of 128', async (family) => {
    const folder = await temporaryFolder();
    const checkpoint = await openCheckpoint(picoPath(family));
    const quantized = await foldInto(folder, checkpoint, { quantize: 'int8:128', name: 'quantized' });
    const float = await foldInto(folder, asStored(checkpoint, quantized.manifest.quantization), {
      name: 'float',
    });
    const text = (await golden(family)).tokens;
    const logits = await logitsOf(quantized, text);
    expect(relativeError(logits, await logitsOf(float, text))).toBeLessThan(activationNoise);
    await checkpoint.close();
  });

  it('decodes step by step what it computes at once', async () => {
    const quantized = await foldInto(await temporaryFolder(), randomCheckpoint(), { quantize: 'int4:128' });
    const all = await logitsOf(quantized, tokens);
    const steps = await withDecoder(quantized, 64, async (decoder) => {
      const cache = decoder.newCache();
      return tokens.flatMap((token) => [...decoder.run(cache, [token])]);
    });
    // The last bit of a float can tip an activation to the next of its 256 codes; mostly none does.
    expect(relativeError(Float32Array.from(steps), all)).toBeLessThan(activationNoise / 2);
  });
});
