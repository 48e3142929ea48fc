import type { NarrowedBlocks } from '../narrow/narrow-student.ts';
import { readTensors, writeTensors } from './tensor-blob.ts';
import type { WorkFolder } from './work-folder.ts';

/** Narrowed MLPs as files of a work folder: an interrupted fold need not fit them again. */
export function keepNarrowed(work: WorkFolder): NarrowedBlocks {
  const nameOf = (block: number) => `narrowed-${block}`;
  return {
    async find(block) {
      const blob = await work.find(nameOf(block));
      if (!blob) return undefined;
      const tensors = await readTensors(work.path, blob);
      return { kept: Int32Array.from(tensors.get('kept')!), down: tensors.get('down')! };
    },
    async keep(block, { kept, down }) {
      const tensors = [
        ['kept', Float32Array.from(kept)],
        ['down', down],
      ] as const; // places below 2 ** 24 are exact
      await work.once(nameOf(block), () => writeTensors(work.path, nameOf(block), tensors));
    },
  };
}
