import { withResource } from '../../artifact/dispose.ts';
import { UsageError } from '../../artifact/errors.ts';
import type { Checkpoint } from '../checkpoint/checkpoint.ts';
import { longestOf } from '../evaluate/windows.ts';
import { inSteps } from '../forward/between-steps.ts';
import { embed } from '../forward/embed.ts';
import { LayerRunner } from '../forward/layer-runner.ts';
import type { Student } from '../student/student.ts';
import { readLayer } from '../weights/block.ts';
import { cutsOf, nextKept } from './cuts.ts';
import { type FitError, fitLayer, type LayerWeights, type StatePair } from './fit-layer.ts';

/** By their place in the student's layers. */
export type FittedLayers = Map<number, LayerWeights>;

export interface FitLayersOptions {
  /** States are read for each cut, then its layer is trained: two steps with numbers of their own. */
  onProgress?: (step: string, done: number, total: number) => void;
  /** @param index of the layer that now does what those up to `last` of the checkpoint did, its own source included */
  onFitted?: (index: number, last: number, error: FitError) => void;
  signal?: AbortSignal;
}

/** Fewer tokens, and a layer's outputs cannot be told from noise. */
const leastTokens = 2;

/**
 * Trains the layer before each run of removed ones to do what it and they did: from the student's own states, layers
 * fitted earlier included, to the checkpoint's where the next kept layer begins. (LLM-Streamline, arXiv 2403.19135.)
 * Memory holds two states a token of the text and some six times the weights of one layer.
 * @param windows those shorter than the longest are left out
 * @throws UsageError where the windows are too short
 */
export async function fitLayers(
  checkpoint: Checkpoint,
  student: Student,
  windows: Int32Array[],
  options: FitLayersOptions = {},
): Promise<FittedLayers> {
  const { architecture } = checkpoint;
  const cuts = cutsOf(student.layers, architecture.layers.length);
  const fitted: FittedLayers = new Map();
  if (cuts.length === 0) return fitted;
  const length = longestOf(windows);
  if (length < leastTokens)
    throw new UsageError('The text that layers are fitted on has no two tokens in a row: give a longer one.');
  const whole = windows.filter((window) => window.length === length);
  await withResource(new LayerRunner(architecture, length), (runner) =>
    fitAll({ checkpoint, student, runner, cuts, windows: whole }, fitted, options),
  );
  return fitted;
}

/** The student with those layers in the place of its own. */
export function withFittedLayers(student: Student, fitted: FittedLayers): Student {
  const blocks = new Map([...fitted].map(([index, { block }]) => [student.layers[index]!.block, block]));
  return {
    ...student,
    block: async (block) => blocks.get(block) ?? student.block(block),
    matrix: async (block, matrix) => blocks.get(block)?.matrices[matrix] ?? student.matrix(block, matrix),
    qkvBias: async (block) => (blocks.has(block) ? blocks.get(block)!.qkvBias : student.qkvBias(block)),
    own: async (index) => fitted.get(index)?.own ?? student.own(index),
    unchanged: (block) => (blocks.has(block) ? undefined : student.unchanged(block)),
  };
}

interface Fit {
  checkpoint: Checkpoint;
  student: Student;
  runner: LayerRunner;
  cuts: number[];
  windows: Int32Array[];
}

async function fitAll(
  { checkpoint, student, runner, cuts, windows }: Fit,
  fitted: FittedLayers,
  { onProgress, onFitted, signal }: FitLayersOptions,
): Promise<void> {
  const depth = checkpoint.architecture.layers.length;
  const advance = (states: Float32Array[], layer: number, { block, own }: LayerWeights) =>
    inSteps(states, (state) => runner.run(layer, block, own, state), signal);

  let states = await embed(student, windows);
  // The checkpoint's states, before its layer `reached`: the same arrays as long as the student is the same so far.
  let teacher = states;
  let reached = 0;
  const last = cuts.at(-1)!;
  const total = nextKept(student.layers, last)?.source ?? depth;
  const read = () => onProgress?.('Reading hidden states', reached, total);
  for (const [index, { source, block, half }] of student.layers.slice(0, last + 1).entries()) {
    read();
    if (!cuts.includes(index)) {
      const isCheckpoints =
        teacher === states && source === reached && !half && student.unchanged(block) === source;
      states = await advance(states, source, {
        block: await student.block(block),
        own: await student.own(index),
      });
      if (!isCheckpoints) continue;
      teacher = states;
      reached++;
      continue;
    }
    const end = nextKept(student.layers, index)?.source ?? depth;
    for (; reached < end; reached++) {
      read();
      const { block, norms } = await readLayer(checkpoint, reached);
      teacher = await advance(teacher, reached, { block, own: norms });
    }
    read();
    const pairs = states.map((input, i): StatePair => ({ input, target: teacher[i]! }));
    const label = `Fitting layer ${source} to layers ${source} to ${end - 1}`;
    const { weights, error } = await fitLayer(student, index, pairs, {
      onProgress: (done, total) => onProgress?.(label, done, total),
      ...(signal && { signal }),
    });
    fitted.set(index, weights);
    onFitted?.(index, end - 1, error);
    if (index < last) states = await advance(states, source, weights);
  }
}
