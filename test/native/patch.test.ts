import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { Decoder } from '../../artifact/decoder/decoder.ts';
import { decoderOptions } from '../../artifact/decoder/decoder-options.ts';
import { runStudent } from '../../compressor/evaluate/student.ts';
import { WorkFolder } from '../../compressor/export/work-folder.ts';
import { HeadRunner } from '../../compressor/forward/head-runner.ts';
import { makePlan } from '../../compressor/plan/make-plan.ts';
import { parsePrecision, resolvePrecision } from '../../compressor/quantize/precision.ts';
import { plannedStudent } from '../../compressor/student/planned-student.ts';
import type { LinearPatch, Student } from '../../compressor/student/student.ts';
import { exportStudent } from '../fixtures/export-student.ts';
import { maxDifference } from '../fixtures/pico.ts';
import { picoArchitecture, randomCheckpoint } from '../fixtures/random-checkpoint.ts';
import { temporaryFolder } from '../fixtures/temporary-folder.ts';

const { width } = picoArchitecture;
const tokens = [1, 5, 9, 2, 30, 7, 11];
const checkpoint = randomCheckpoint();

function randomPatch(): LinearPatch {
  let state = 7;
  const number = () => {
    state = (state * 48271) % 2147483647;
    return (state / 2147483647 - 0.5) * 0.2;
  };
  return {
    weight: Float32Array.from({ length: width * width }, number),
    bias: Float32Array.from({ length: width }, number),
  };
}

function planned(quantize: string) {
  const scores = [4, 1, 2, 3];
  const plan = makePlan(
    { name: 'random', layers: 4 },
    { method: 'given', scores },
    { remove: 0.25, share: 1, weights: 'first', quantize, keep: [] },
  );
  return { plan, student: plannedStudent(checkpoint, plan) };
}

const patchedAfter = (student: Student, layer: number, patch: LinearPatch): Student => ({
  ...student,
  patch: async (index) => (index === layer ? patch : undefined),
});

describe('a linear patch', () => {
  it('adds weight h + bias to the hidden state', async () => {
    const { student } = planned('none');
    const patch = randomPatch();
    const [states] = await runStudent(student, [Int32Array.from(tokens)]);
    const [patched] = await runStudent(patchedAfter(student, 2, patch), [Int32Array.from(tokens)]);
    for (const [i, value] of patched!.entries()) {
      const row = Math.floor(i / width) * width;
      const output = i - row;
      let wanted = states![i]! + patch.bias[output]!;
      for (let input = 0; input < width; input++)
        wanted += patch.weight[output * width + input]! * states![row + input]!;
      expect(Math.abs(value - wanted)).toBeLessThan(1e-4);
    }
  });

  // int8 in the blocks, too: what is left is the rounding of the weights and of the kernel's activations.
  it.each([
    ['none', 1e-4],
    ['int8:32', 0.15],
  ])('in the stored graph computes the same (%s)', async (quantize, tolerance) => {
    const { plan, student } = planned(quantize);
    const patched = patchedAfter(student, 0, randomPatch());
    const precision = resolvePrecision(checkpoint, plan, parsePrecision(quantize));
    const work = await WorkFolder.open(await temporaryFolder(), 'patched');
    const { manifest, files } = await exportStudent({ checkpoint, student: patched, plan, precision, work });
    expect(manifest.layers.map(({ patch }) => patch ?? false)).toEqual([true, false, false]);
    expect(manifest.weights.filter(({ kind }) => kind === 'patches')).toHaveLength(1);

    const head = new HeadRunner(checkpoint, { threads: 1 });
    const logits = async (of: Student) => {
      const [states] = await runStudent(of, [Int32Array.from(tokens)]);
      return head.logits(states!);
    };
    const wanted = await logits(patched);
    const graph = join(work.path, manifest.graph.sha256);
    expect(files.get(manifest.graph.sha256)).toBe(graph);
    const decoder = new Decoder({ ...decoderOptions(manifest, graph, 64), threads: 1 });
    const got = decoder.runAll(decoder.newCache(), tokens);
    expect(maxDifference(got, wanted)).toBeLessThan(tolerance);
    // The patch matters: without it the logits are others.
    expect(maxDifference(await logits(student), wanted)).toBeGreaterThan(2 * tolerance);
    decoder[Symbol.dispose]();
    head[Symbol.dispose]();
  });
});
