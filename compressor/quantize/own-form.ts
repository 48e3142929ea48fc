import type { Precision } from '../../artifact/manifest.ts';
import type { Checkpoint, CheckpointTensor, StoredBlocks } from '../checkpoint/checkpoint.ts';
import type { BlockMatrix } from '../graph/layer.ts';
import type { Student } from '../student/student.ts';
import { partsOf } from '../weights/block.ts';
import { type QuantizedMatrix, repack, stack } from './blocks.ts';

type BlockReader = (start?: number, count?: number) => Promise<StoredBlocks>;

/** How to read a tensor's own blocks, if they have this form. */
export function ownForm(tensor: CheckpointTensor, bits: number, blockSize: number): BlockReader | undefined {
  if (!tensor.readBlocks || blockSize !== 32) return undefined;
  return tensor.storedAs === (bits === 4 ? 'Q4_0' : 'Q8_0') ? tensor.readBlocks.bind(tensor) : undefined;
}

/** The checkpoint's own codes, where they have the wanted form and the block is still one of its layers'. */
export async function ownCodes(
  checkpoint: Checkpoint,
  student: Student,
  block: number,
  matrix: BlockMatrix,
  { bits, blockSize }: Precision,
): Promise<QuantizedMatrix | undefined> {
  const layer = student.unchanged(block);
  if (layer === undefined) return undefined;
  const parts = partsOf(matrix).map((role) => checkpoint.tensor(`layers.${layer}.${role}`));
  const readers = parts.map((part) => ownForm(part, bits, blockSize!));
  if (readers.includes(undefined)) return undefined;
  const stored = await Promise.all(readers.map((read) => read!()));
  return stack(stored.map((blocks, i) => repack(blocks, parts[i]!.shape[0]!, parts[i]!.shape[1]!)));
}
