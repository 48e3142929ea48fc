import { withResource } from '../../artifact/dispose.ts';
import { inSteps } from '../forward/between-steps.ts';
import { embed } from '../forward/embed.ts';
import { HeadRunner } from '../forward/head-runner.ts';
import { LayerRunner } from '../forward/layer-runner.ts';
import { PatchRunner } from '../forward/patch-runner.ts';
import type { Student } from '../student/student.ts';
import type { BlockWeights } from '../weights/block.ts';
import { longestOf, type Quality, qualityOf, type TextWindows } from './windows.ts';

export interface EvaluateOptions {
  onProgress?: (done: number, total: number) => void;
  signal?: AbortSignal;
}

/** Hidden states in memory at a time, in numbers: 256 MB, twice that while a layer runs. */
export const maxStates = 64 * 2 ** 20;

/**
 * The quality of a student, in float32, before anything is written: layer by layer,
 * so that memory holds one block and the hidden states of so many windows as `maxStates` allows. A text of
 * more windows goes through the model in several passes.
 */
export async function evaluateStudent(
  student: Student,
  { windows, targets, tokens }: TextWindows,
  { signal, onProgress, statesAtATime = maxStates }: EvaluateOptions & { statesAtATime?: number } = {},
): Promise<Quality> {
  const size = longestOf(windows) * student.architecture.width;
  const step = Math.max(1, Math.floor(statesAtATime / size));
  const passes = Math.ceil(windows.length / step);
  const layers = student.layers.length;
  let total = 0;
  await withResource(new HeadRunner(student), async (head) => {
    for (let pass = 0; pass < passes; pass++) {
      const part = <Item>(all: Item[]) => all.slice(pass * step, (pass + 1) * step);
      const states = await runStudent(student, part(windows), {
        onProgress: (done) => onProgress?.(pass * layers + done, passes * layers),
        ...(signal && { signal }),
      });
      for (const losses of await head.losses(states, part(targets), signal)) {
        for (const loss of losses) total += loss;
      }
    }
  });
  return qualityOf(total, tokens);
}

/** Hidden states after the last layer, per window [tokens, width]. */
export async function runStudent(
  student: Student,
  windows: Int32Array[],
  options: EvaluateOptions = {},
): Promise<Float32Array[]> {
  const runner = new LayerRunner(student.architecture, longestOf(windows));
  return withResource(runner, () =>
    withResource(new PatchRunner(student.architecture), (patches) =>
      runLayers(runner, patches, student, windows, options),
    ),
  );
}

async function runLayers(
  runner: LayerRunner,
  patches: PatchRunner,
  student: Student,
  windows: Int32Array[],
  options: EvaluateOptions,
): Promise<Float32Array[]> {
  let loaded: { block: number; weights: BlockWeights } | undefined;
  let states = await embed(student, windows);
  for (const [index, { source, block }] of student.layers.entries()) {
    if (loaded?.block !== block) {
      loaded = undefined; // one block at a time
      loaded = { block, weights: await student.block(block) };
    }
    const own = await student.own(index);
    const patch = await student.patch(index);
    const { weights } = loaded;
    const run = (state: Float32Array) => {
      const out = runner.run(source, weights, own, state);
      return patch ? patches.run(patch, out) : out;
    };
    states = await inSteps(states, run, options.signal);
    options.onProgress?.(index + 1, student.layers.length);
  }
  return states;
}
