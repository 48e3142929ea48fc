import { describe, expect, it } from 'vitest';
import { UsageError } from '../../artifact/errors.ts';
import { blobsOf } from '../../artifact/manifest.ts';
import { blockMatrices, matrixShape } from '../../compressor/graph/layer.ts';
import { allocate } from '../../compressor/quantize/allocate.ts';
import { calibrations } from '../../compressor/quantize/calibration.ts';
import { unfolded } from '../../compressor/student/planned-student.ts';
import { type FoldedPico, type FoldPicoOptions, foldInto, withDecoder } from '../fixtures/fold-into.ts';
import { picoArchitecture, randomCheckpoint, seeded } from '../fixtures/random-checkpoint.ts';
import { taleText } from '../fixtures/tale-text.ts';
import { temporaryFolder } from '../fixtures/temporary-folder.ts';

const tokens = Array.from({ length: 40 }, (_, i) => (i * 37 + 5) % picoArchitecture.vocabularySize);
const windows = [1, 2].map((seed) => {
  const random = seeded(seed);
  return Int32Array.from({ length: 40 }, () => Math.floor(random() * picoArchitecture.vocabularySize));
});

/** Blobs in the order of the manifest. */
const shasOf = ({ manifest }: FoldedPico) => manifest.weights.map(({ sha256 }) => sha256);

/** Mean over tokens of what q loses against p, in nats. Perplexity on few tokens can fall by chance. */
function klDivergence(p: Float32Array[], q: Float32Array[], vocabulary: number): number {
  let [total, tokens] = [0, 0];
  for (const [window, logits] of p.entries()) {
    for (let start = 0; start < logits.length; start += vocabulary) {
      const [x, y] = [logits, q[window]!].map((one) => logSoftmax(one.subarray(start, start + vocabulary)));
      x!.forEach((value, i) => {
        total += Math.exp(value) * (value - y![i]!);
      });
      tokens++;
    }
  }
  return total / tokens;
}

function logSoftmax(logits: Float32Array): Float64Array {
  const highest = logits.reduce((a, b) => Math.max(a, b));
  const sum = logits.reduce((total, value) => total + Math.exp(value - highest), 0);
  return Float64Array.from(logits, (value) => value - highest - Math.log(sum));
}

describe('a calibrated fold', () => {
  it('stays closer to the bundled model on text that it was not fitted to', async () => {
    const { checkpoint, text } = await taleText(128);
    const [fit, others] = [text.windows.slice(6), text.windows.slice(0, 6)];
    const folder = await temporaryFolder();
    const logits = async (options: FoldPicoOptions) => {
      const folded = await foldInto(folder, checkpoint, { ...options, name: 'x' });
      return withDecoder(folded, 128, async (decoder) =>
        others.map((window) => decoder.runAll(decoder.newCache(), window).slice()),
      );
    };
    const whole = await logits({ quantize: 'none' });
    const quantize = 'int4:128,embedding=none';
    const divergence = (other: Float32Array[]) =>
      klDivergence(whole, other, checkpoint.architecture.vocabularySize);
    const nearest = divergence(await logits({ quantize }));
    const most = { gptq: 0.5, awq: 1, 'awq+gptq': 0.5 };
    for (const calibration of calibrations) {
      const fitted = divergence(await logits({ quantize, calibrate: fit, calibration }));
      expect(fitted).toBeGreaterThan(0);
      expect(fitted / nearest, calibration).toBeLessThan(most[calibration]);
    }
    await checkpoint.close();
  }, 180_000);

  it.each(calibrations)(
    'by %s is the same when it is taken up after an interruption',
    async (calibration) => {
      const checkpoint = randomCheckpoint();
      const fold = { quantize: 'auto:6', calibrate: windows, calibration };
      const whole = await foldInto(await temporaryFolder(), checkpoint, fold);
      const folder = await temporaryFolder();
      const abort = new AbortController();
      const stopped = foldInto(folder, checkpoint, {
        ...fold,
        signal: abort.signal,
        onProgress: (step, done) => step === 'Folding' && done === 2 && abort.abort(new Error('interrupted')),
      });
      await expect(stopped).rejects.toThrow('interrupted');
      const again = await foldInto(folder, checkpoint, fold);
      expect(again.result.resumedSteps).toBe(calibration === 'gptq' ? 2 : 3); // the scales are one
      expect(shasOf(again)).toEqual(shasOf(whole));
      // Another text gives other codes, and no step of the first is taken for one of the second.
      const other = await foldInto(folder, checkpoint, { ...fold, calibrate: windows.slice(1) });
      expect(other.result.resumedSteps).toBe(0);
      expect(shasOf(other)).not.toEqual(shasOf(whole));
    },
  );
});

describe('a budget of bits', () => {
  const weights = blockMatrices.reduce((sum, matrix) => {
    const [outputs, inputs] = matrixShape(picoArchitecture, matrix);
    return sum + 4 * outputs * inputs;
  }, 0);
  const blockBytes = ({ manifest }: FoldedPico) =>
    manifest.weights.filter(({ kind }) => kind === 'block').reduce((sum, { bytes }) => sum + bytes, 0);

  it('is spent on int8, never beyond', async () => {
    const folder = await temporaryFolder();
    const checkpoint = randomCheckpoint();
    const all: number[] = [];
    for (const bits of [5.5, 6.5, 7.5]) {
      const folded = await foldInto(folder, checkpoint, {
        quantize: `auto:${bits}`,
        calibrate: windows,
        name: 'x',
      });
      const exceptions = folded.manifest.weights.flatMap(({ quantization }) =>
        Object.values(quantization ?? {}),
      );
      expect(exceptions.every((precision) => precision?.bits === 8)).toBe(true);
      all.push(exceptions.length);
      expect(blockBytes(folded)).toBeLessThanOrEqual((weights * bits) / 8);
      // What is left would not pay for the smallest matrix.
      expect(blockBytes(folded)).toBeGreaterThan((weights * bits) / 8 - (64 * 96) / 2);
      // And it runs.
      const logits = await withDecoder(folded, 64, async (decoder) =>
        decoder.runAll(decoder.newCache(), tokens),
      );
      expect(logits.every(Number.isFinite)).toBe(true);
      expect(blobsOf(folded.manifest).length).toBeGreaterThan(4);
    }
    expect(all).toEqual(all.toSorted((a, b) => a - b));
    expect(new Set(all).size).toBe(3);
  });

  it('goes first to where rounding does most harm', async () => {
    // A checkpoint whose third layer has one down projection with outliers: int4 loses all but them.
    const plain = randomCheckpoint();
    const checkpoint = {
      ...plain,
      tensor(role: Parameters<typeof plain.tensor>[0]) {
        const tensor = plain.tensor(role);
        if (role !== 'layers.2.mlp.down') return tensor;
        const read = async () => (await tensor.read()).map((value, i) => (i % 32 === 0 ? 30 * value : value));
        return { ...tensor, read };
      },
    };
    const precision = () => ({ bits: 4 as const, blockSize: 32 as const });
    const chosen = await allocate({ student: unfolded(checkpoint), windows, precision, bits: 5.3 });
    expect(chosen.get(2)).toContain('down');
  });

  it('below int4, or without a text to spend it by, is refused', async () => {
    const folder = await temporaryFolder();
    const checkpoint = randomCheckpoint();
    const low = foldInto(folder, checkpoint, { quantize: 'auto:4', calibrate: windows });
    await expect(low).rejects.toThrow(UsageError);
    await expect(low).rejects.toThrow('auto:4 is less than int4 takes');
    await expect(foldInto(folder, checkpoint, { quantize: 'auto:6' })).rejects.toThrow(
      'leave out --calibrate none',
    );
  });
});
