import { InvalidDataError } from '../../../artifact/errors.ts';
import type { StoredTensor } from '../canonical.ts';
import { limits } from '../limits.ts';
import { checkOverlaps } from '../overlaps.ts';
import type { RangeFile } from '../range-file.ts';
import type { BlockForm } from './dequantize/block-form.ts';
import { formName, formOf, readableForms } from './dequantize/forms.ts';
import type { GgufTensor } from './header.ts';
import { repack } from './repack.ts';

/** @throws InvalidDataError where a tensor lies beyond the file's end or on another one */
export function storedTensors(file: RangeFile, tensors: GgufTensor[]): Map<string, StoredTensor> {
  const stored = new Map<string, StoredTensor>();
  const ranges: { name: string; start: number; end: number }[] = [];
  for (const tensor of tensors) {
    const form = formOf(tensor.type);
    if (form) {
      const end = tensor.offset + bytesOf(file, tensor, form);
      if (end > file.size) {
        throw new InvalidDataError(
          `${file.path}: ${tensor.name} (${form.name}, ${tensor.dimensions.join(' x ')}) ends at byte ${end} of ${file.size}. ` +
            'The file is truncated or damaged: fetch it again.',
        );
      }
      ranges.push({ name: tensor.name, start: tensor.offset, end });
    }
    stored.set(tensor.name, storedTensor(file, tensor, form));
  }
  checkOverlaps(file, ranges);
  return stored;
}

function bytesOf(file: RangeFile, { name, dimensions }: GgufTensor, form: BlockForm): number {
  if (dimensions[0]! % form.blockSize !== 0) {
    throw new InvalidDataError(
      `${file.path}: rows of ${name} have ${dimensions[0]} weights; ${form.name} takes multiples of ${form.blockSize}.`,
    );
  }
  // As a float: a product beyond 2^53 loses digits, but stays far beyond every file's size.
  return (dimensions.reduce((product, size) => product * size, 1) / form.blockSize) * form.blockBytes;
}

function storedTensor(file: RangeFile, tensor: GgufTensor, form: BlockForm | undefined): StoredTensor {
  const { name, dimensions } = tensor;
  const shape = dimensions.toReversed();
  if (!form) {
    const unreadable = `${file.path}: ${name} is stored as ${formName(tensor.type)}. Foldgate reads ${readableForms.join(', ')}.`;
    return {
      name,
      shape,
      storedAs: formName(tensor.type),
      unreadable,
      readRows: () => Promise.reject(new InvalidDataError(unreadable)),
    };
  }
  const rowLength = shape.slice(1).reduce((product, size) => product * size, 1);
  const bytesOfWeights = (weights: number) => (weights / form.blockSize) * form.blockBytes;
  const step = Math.floor(limits.readBytes / form.blockBytes) * form.blockSize;

  const readRows = async (start: number, count: number) => {
    const out = new Float32Array(count * rowLength);
    for (let done = 0; done < out.length; done += step) {
      const part = out.subarray(done, done + step);
      const at = tensor.offset + bytesOfWeights(start * rowLength + done);
      form.dequantize(await file.read(at, bytesOfWeights(part.length)), part);
    }
    return out;
  };
  const stored = { name, shape, storedAs: form.name, readRows };
  if (form.name !== 'Q4_0' && form.name !== 'Q8_0') return stored;
  const repackable = form.name;
  return {
    ...stored,
    async readBlocks(start, count) {
      const at = tensor.offset + bytesOfWeights(start * rowLength);
      return repack(repackable, await file.read(at, bytesOfWeights(count * rowLength)));
    },
  };
}
