import { withResource } from '../../artifact/dispose.ts';
import type { Checkpoint } from '../checkpoint/checkpoint.ts';
import type { EvaluateOptions } from '../evaluate/student.ts';
import { longestOf } from '../evaluate/windows.ts';
import { inSteps } from '../forward/between-steps.ts';
import { embed } from '../forward/embed.ts';
import { LayerRunner } from '../forward/layer-runner.ts';
import { PatchRunner } from '../forward/patch-runner.ts';
import type { LinearPatch, Student } from '../student/student.ts';
import { readLayer } from '../weights/block.ts';
import { cutsOf, nextKept } from './cuts.ts';
import { fitPatch } from './fit.ts';

/** By the layer they follow. */
export type Patches = Map<number, LinearPatch>;

/**
 * Fits a linear patch for the place of each run of removed layers on a text: the checkpoint's state where
 * the next kept layer begins, from the student's own state, earlier patches included. (ReplaceMe,
 * arXiv 2505.02819.) Layers missing before the first kept one have no patch.
 * @param windows some 12,000 tokens; too few, and the map learns the text
 */
export async function fitPatches(
  checkpoint: Checkpoint,
  student: Student,
  windows: Int32Array[],
  options: EvaluateOptions = {},
): Promise<Patches> {
  const { architecture } = checkpoint;
  const layers = new LayerRunner(architecture, longestOf(windows));
  return withResource(layers, () =>
    withResource(new PatchRunner(architecture), (patchRunner) =>
      fitAll({ layers, patchRunner }, checkpoint, student, windows, options),
    ),
  );
}

/** The student with patches in the place of removed layers. */
export function withPatches(student: Student, patches: Patches): Student {
  return { ...student, patch: async (index) => patches.get(index) ?? student.patch(index) };
}

async function fitAll(
  { layers, patchRunner }: { layers: LayerRunner; patchRunner: PatchRunner },
  checkpoint: Checkpoint,
  student: Student,
  windows: Int32Array[],
  options: EvaluateOptions,
): Promise<Patches> {
  const { architecture: a } = checkpoint;
  const depth = a.layers.length;
  const cuts = cutsOf(student.layers, depth);
  const patches: Patches = new Map();
  const total = depth + student.layers.length;
  let done = 0;
  const forward = async (states: Float32Array[], run: (state: Float32Array) => Float32Array) => {
    const next = await inSteps(states, run, options.signal);
    options.onProgress?.(++done, total);
    return next;
  };

  let states = await embed(student, windows);
  let teacher = states;
  let reached = 0; // layers of the checkpoint that `teacher` has been through
  for (const [index, { source, block }] of student.layers.entries()) {
    if (cuts.every((cut) => cut < index)) break; // nothing is fitted any more
    const weights = { block: await student.block(block), own: await student.own(index) };
    states = await forward(states, (state) => layers.run(source, weights.block, weights.own, state));
    if (!cuts.includes(index)) continue;
    const end = nextKept(student.layers, index)?.source ?? depth;
    for (; reached < end; reached++) {
      const layer = reached;
      const { block, norms } = await readLayer(checkpoint, layer);
      teacher = await forward(teacher, (state) => layers.run(layer, block, norms, state));
    }
    const patch = fitPatch(a.width, states, teacher);
    patches.set(index, patch);
    states = states.map((state) => patchRunner.run(patch, state));
  }
  options.onProgress?.(total, total);
  return patches;
}
