import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { blockMatrices } from '../graph/layer.ts';
import type { BlockCodes } from '../quantize/block-quantizer.ts';
import type { StoredTensor, WrittenBlob } from './blob-writer.ts';
import { blockStep } from './export.ts';
import type { WorkFolder } from './work-folder.ts';

/** The codes of a fold's blocks, all of which are written. */
export async function writtenCodes(work: WorkFolder, blocks: number): Promise<BlockCodes[]> {
  const codes: BlockCodes[] = [];
  for (let block = 0; block < blocks; block++) {
    const blob = await work.find(blockStep(block));
    codes.push(await readCodes(work.path, blob!));
  }
  return codes;
}

/** The codes of a block that was written into `folder`. */
export async function readCodes(folder: string, blob: WrittenBlob): Promise<BlockCodes> {
  const codes: BlockCodes = {};
  const file = await open(join(folder, blob.sha256));
  try {
    const read = async ({ offset, length }: StoredTensor) => {
      const bytes = new Uint8Array(length);
      await file.read(bytes, 0, length, offset);
      return bytes;
    };
    for (const matrix of blockMatrices) {
      const values = blob.tensors.find(({ name }) => name === `${matrix}.values`);
      const scales = blob.tensors.find(({ name }) => name === `${matrix}.scales`);
      if (!values?.codes || !scales) continue;
      const [outputs, blocks] = scales.shape as [number, number];
      codes[matrix] = {
        ...values.codes,
        outputs,
        blocks,
        values: await read(values),
        scales: new Float32Array((await read(scales)).buffer),
      };
    }
  } finally {
    await file.close();
  }
  return codes;
}
