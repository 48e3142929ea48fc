import { withResource } from '../../artifact/dispose.ts';
import { uniformNumbers } from '../random.ts';
import type { Student } from '../student/student.ts';
import { AdamW } from '../train/adamw.ts';
import { learningRate } from '../train/schedule.ts';
import { StudentPass } from '../train/student-pass.ts';
import { tailLoss } from '../train/tail-loss.ts';
import { TrainedWeights } from '../train/trained-weights.ts';
import type { BlockWeights } from '../weights/block.ts';
import type { OwnWeights } from '../weights/own.ts';

/** What one window's tokens are before and after what is replaced, [tokens, width] each. */
export interface StatePair {
  input: Float32Array;
  target: Float32Array;
}

/** All weights of a layer that shares none. */
export interface LayerWeights {
  block: BlockWeights;
  own: OwnWeights;
}

/** How far a layer's outputs are from the targets: means over tokens of pairs that were not trained on, by `tailLoss`. */
export interface FitError {
  before: number;
  after: number;
}

export interface FitLayerOptions {
  /** @param done steps of `total` */
  onProgress?: (done: number, total: number) => void;
  signal?: AbortSignal;
}

/** How often every pair is trained on. */
const passes = 8;
/** Windows of one step. */
const windowsPerStep = 4;
/** One pair in so many is measured on instead. */
const heldOutEvery = 8;
const schedule = { peak: 1e-3, warmupShare: 0.05, floor: 0.05 };

/**
 * Trains one layer of a student, block and norms, to turn inputs into targets, from the weights it has, by AdamW on the
 * squared distance relative to the target's size. What comes out are the weights of the pass after which
 * held-out pairs were met best: with little text, more passes learn the text. The same pairs give the same bits.
 *
 * @param index in the student's layers
 * @param pairs of windows of one length; there is at least one
 */
export async function fitLayer(
  student: Student,
  index: number,
  pairs: readonly StatePair[],
  { onProgress, signal }: FitLayerOptions = {},
): Promise<{ weights: LayerWeights; error: FitError }> {
  const { width } = student.architecture;
  const tokens = pairs[0]!.input.length / width;
  const { training, heldOut } = split(pairs);
  const weights = await TrainedWeights.read(alone(student, index), 'all');
  const layer = new StudentPass(weights, { batch: 1, tokens }, 'all', true);
  return withResource(layer, () =>
    withResource(new AdamW(weights.parameters), async (optimizer) => {
      const stepsPerPass = Math.ceil(training.length / windowsPerStep);
      const steps = passes * stepsPerPass;
      const { peak, warmupShare, floor } = schedule;
      const rates = { peak, steps, warmup: Math.ceil(steps * warmupShare), floor };

      const step = async (some: StatePair[]) => {
        weights.zeroGradients();
        for (const { input, target } of some) {
          const trace = await layer.forward(input, signal);
          const { gradient } = tailLoss(trace.final, target, width, 1 / (some.length * tokens));
          await layer.backward(trace, gradient, new Map(), signal);
        }
        optimizer.step(learningRate(rates, optimizer.steps));
        onProgress?.(optimizer.steps, steps);
      };
      const measure = async () => {
        let sum = 0;
        for (const { input, target } of heldOut) {
          const { final } = await layer.forward(input, signal);
          sum += tailLoss(final, target, width, 0).sum;
        }
        return sum / (heldOut.length * tokens);
      };

      const before = await measure();
      const copy = () => weights.parameters.map(({ values }) => values.slice());
      let best = { error: before, values: copy() };
      for (let pass = 0; pass < passes; pass++) {
        const order = shuffled(training, pass);
        for (let i = 0; i < order.length; i += windowsPerStep) await step(order.slice(i, i + windowsPerStep));
        const error = await measure();
        if (error < best.error) best = { error, values: copy() };
      }
      for (const [i, { values }] of weights.parameters.entries()) values.set(best.values[i]!);
      const [block, own] = [weights.blocks[0]!, weights.own[0]!];
      return { weights: { block, own }, error: { before, after: best.error } };
    }),
  );
}

/** A model of that layer and nothing else. */
function alone(student: Student, index: number): Student {
  const { source, block } = student.layers[index]!;
  return {
    ...student,
    layers: [{ source, block: 0 }],
    widths: student.widths && [student.widths[block]!],
    block: () => student.block(block),
    matrix: (_, matrix) => student.matrix(block, matrix),
    qkvBias: () => student.qkvBias(block),
    own: () => student.own(index),
    pools: undefined,
    orchestra: undefined,
    patch: async () => undefined,
    unchanged: () => undefined,
  };
}

/** One pair has to serve both where it is the only one. */
function split(pairs: readonly StatePair[]): {
  training: readonly StatePair[];
  heldOut: readonly StatePair[];
} {
  if (pairs.length === 1) return { training: pairs, heldOut: pairs };
  const count = Math.max(1, Math.floor(pairs.length / heldOutEvery));
  return { training: pairs.slice(0, -count), heldOut: pairs.slice(-count) };
}

/** Another order for each pass, the same every time. */
function shuffled<Item>(items: readonly Item[], pass: number): Item[] {
  const random = uniformNumbers(pass + 1);
  const keyed = items.map((item) => ({ item, key: random() }));
  return keyed.sort((a, b) => a.key - b.key).map(({ item }) => item);
}
