import type { CheckpointTensor, StoredBlocks } from '../checkpoint/checkpoint.ts';

type BlockReader = (start?: number, count?: number) => Promise<StoredBlocks>;

/** How to read a tensor's own blocks, if they have this form. */
export function ownForm(tensor: CheckpointTensor, bits: number, blockSize: number): BlockReader | undefined {
  if (!tensor.readBlocks || blockSize !== 32) return undefined;
  return tensor.storedAs === (bits === 4 ? 'Q4_0' : 'Q8_0') ? tensor.readBlocks.bind(tensor) : undefined;
}
