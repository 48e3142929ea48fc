import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { BlobWriter, type WrittenBlob } from './blob-writer.ts';

/** Writes named float32 vectors and matrices into a blob in `folder`. */
export async function writeTensors(
  folder: string,
  name: string,
  tensors: Iterable<readonly [name: string, values: Float32Array]>,
): Promise<WrittenBlob> {
  const blob = await BlobWriter.create(folder, name);
  try {
    for (const [tensor, values] of tensors) await blob.add(tensor, 'float32', [values.length], values);
    return await blob.finish();
  } catch (error) {
    await blob.abort();
    throw error;
  }
}

/** The float32 tensors of a blob that was written into `folder`, by name. */
export async function readTensors(folder: string, blob: WrittenBlob): Promise<Map<string, Float32Array>> {
  const tensors = new Map<string, Float32Array>();
  const file = await open(join(folder, blob.sha256));
  try {
    for (const { name, offset, length } of blob.tensors) {
      const bytes = new Uint8Array(length);
      await file.read(bytes, 0, length, offset);
      tensors.set(name, new Float32Array(bytes.buffer));
    }
  } finally {
    await file.close();
  }
  return tensors;
}
