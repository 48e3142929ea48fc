import { InvalidDataError } from '../../artifact/errors.ts';
import type { CheckpointTensor, StoredBlocks, TensorRole } from './checkpoint.ts';

/** A tensor as its file has it. Rows are those of the first dimension of `shape`; a vector is one of rows of 1. */
export interface StoredTensor {
  name: string;
  /** [outputs, inputs] or [n]. */
  shape: readonly number[];
  storedAs: string;
  /** Why it cannot be read, where its form is none that Foldgate knows. */
  unreadable?: string;
  /** Float32, row-major. */
  readRows(start: number, count: number): Promise<Float32Array>;
  readBlocks?(start: number, count: number): Promise<StoredBlocks>;
}

/** What makes the stored form differ from the canonical one. */
export interface Rearrangement {
  /** Rows of each head of this size are stored as rotary pairs, not halves. */
  interleavedHeads?: number | undefined;
  /** Added to every value. */
  offset?: number | undefined;
}

/** @throws InvalidDataError where the shape is not the one the architecture asks for */
export function canonicalTensor(
  role: TensorRole,
  stored: StoredTensor,
  shape: number[],
  { interleavedHeads, offset = 0 }: Rearrangement,
  where: string,
): CheckpointTensor {
  if (stored.shape.join() !== shape.join()) {
    throw new InvalidDataError(
      `${where}: ${stored.name} has shape [${stored.shape.join(', ')}], the architecture asks for [${shape.join(', ')}].`,
    );
  }
  if (stored.unreadable !== undefined) throw new InvalidDataError(stored.unreadable);
  const rows = shape[0]!;
  const inputs = shape[1] ?? 1;

  const read = async (start = 0, count = rows - start): Promise<Float32Array> => {
    checkRows(stored.name, rows, start, count);
    let values: Float32Array;
    if (interleavedHeads === undefined) {
      values = await stored.readRows(start, count);
    } else {
      const [first, last] = wholeHeads(start, count, interleavedHeads);
      const heads = await stored.readRows(first, last - first);
      values = toHalves(heads, inputs, interleavedHeads, start - first, count);
    }
    if (offset !== 0) for (let i = 0; i < values.length; i++) values[i]! += offset;
    return values;
  };

  const readBlocks = async (start = 0, count = rows - start): Promise<StoredBlocks> => {
    checkRows(stored.name, rows, start, count);
    if (interleavedHeads === undefined) return stored.readBlocks!(start, count);
    const [first, last] = wholeHeads(start, count, interleavedHeads);
    const heads = await stored.readBlocks!(first, last - first);
    return {
      ...heads,
      values: toHalves(heads.values, inputs, interleavedHeads, start - first, count),
      scales: toHalves(heads.scales, inputs / heads.blockSize, interleavedHeads, start - first, count),
    };
  };

  return {
    role,
    shape,
    storedAs: stored.storedAs,
    read,
    ...(stored.readBlocks && offset === 0 && { readBlocks }),
  };
}

function checkRows(name: string, rows: number, start: number, count: number): void {
  if (Number.isInteger(start) && Number.isInteger(count) && start >= 0 && count >= 0 && start + count <= rows)
    return;
  throw new RangeError(`Rows ${start} to ${start + count} of ${name}, which has ${rows}`);
}

function wholeHeads(start: number, count: number, headSize: number): [first: number, end: number] {
  return [Math.floor(start / headSize) * headSize, Math.ceil((start + count) / headSize) * headSize];
}

/**
 * Rows of whole heads from pairs to halves: dimension i of the first half is stored at row 2i of its head,
 * of the second half at 2i + 1.
 */
function toHalves<T extends Float32Array | Uint8Array>(
  stored: T,
  rowLength: number,
  headSize: number,
  start: number,
  count: number,
): T {
  const rows = stored.slice(0, count * rowLength) as T;
  const half = headSize / 2;
  for (let i = 0; i < count; i++) {
    const row = start + i;
    const inHead = row % headSize;
    const from = row - inHead + (inHead < half ? 2 * inHead : 2 * (inHead - half) + 1);
    rows.set(stored.subarray(from * rowLength, (from + 1) * rowLength), i * rowLength);
  }
  return rows;
}
