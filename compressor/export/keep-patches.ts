import type { Patches } from '../patch/patch-student.ts';
import { readTensors, writeTensors } from './tensor-blob.ts';
import type { WorkFolder } from './work-folder.ts';

/** The patches of an earlier run, or those that are fitted now: an interrupted fold need not fit them again. */
export async function keepPatches(work: WorkFolder, fitNow: () => Promise<Patches>): Promise<Patches> {
  const blob = await work.once('fitted-patches', async () => {
    const named = [...(await fitNow())].flatMap(([index, { weight, bias }]) => [
      [`${index}.weight`, weight] as const,
      [`${index}.bias`, bias] as const,
    ]);
    return writeTensors(work.path, 'fitted-patches', named);
  });
  const tensors = await readTensors(work.path, blob);
  const patches: Patches = new Map();
  for (const [name, weight] of tensors) {
    const [index, part] = name.split('.');
    if (part === 'weight') patches.set(Number(index), { weight, bias: tensors.get(`${index}.bias`)! });
  }
  return patches;
}
