import { z } from 'zod';
import { InvalidDataError } from '../../../artifact/errors.ts';
import type { StoredTensor } from '../canonical.ts';
import { decodeFloats, type FloatForm, floatBytes } from '../float.ts';
import { parseObject } from '../json.ts';
import { limits } from '../limits.ts';
import { checkOverlaps } from '../overlaps.ts';
import type { RangeFile } from '../range-file.ts';

const tensorSchema = z.object({
  dtype: z.string().max(32),
  shape: z.array(z.int().min(0).max(limits.dimension)).max(limits.tensorDimensions),
  data_offsets: z.tuple([z.int().min(0), z.int().min(0)]),
});

/**
 * The tensors of one safetensors file: 8 bytes of header length, a JSON header, the data.
 * @throws InvalidDataError where the header contradicts itself or the file's size
 */
export async function readSafetensors(file: RangeFile): Promise<Map<string, StoredTensor>> {
  const length = Number(new DataView((await file.read(0, 8)).buffer).getBigUint64(0, true));
  if (length > limits.safetensorsHeaderBytes) {
    throw new InvalidDataError(
      `${file.path} declares a header of ${length} bytes, more than ${limits.safetensorsHeaderBytes}: it is no safetensors file.`,
    );
  }
  const header = parseObject(await file.read(8, length), `The header of ${file.path}`);
  delete header.__metadata__;
  const entries = Object.entries(header);
  if (entries.length > limits.tensors) {
    throw new InvalidDataError(
      `${file.path} declares ${entries.length} tensors, more than ${limits.tensors}.`,
    );
  }
  const tensors = new Map<string, StoredTensor>();
  const ranges: { name: string; start: number; end: number }[] = [];
  for (const [name, value] of entries) {
    if (name.length > limits.nameBytes)
      throw new InvalidDataError(`${file.path}: a tensor's name has ${name.length} characters.`);
    const parsed = tensorSchema.safeParse(value);
    if (!parsed.success) {
      throw new InvalidDataError(
        `${file.path}: the header's entry ${name} is wrong:\n${z.prettifyError(parsed.error)}`,
      );
    }
    const [start, end] = parsed.data.data_offsets;
    if (end < start || 8 + length + end > file.size) {
      throw new InvalidDataError(
        `${file.path}: ${name} claims bytes ${start} to ${end} of ${file.size - 8 - length}. The file is truncated or damaged: fetch it again.`,
      );
    }
    ranges.push({ name, start, end });
    tensors.set(name, storedTensor(file, name, parsed.data, 8 + length + start, end - start));
  }
  checkOverlaps(file, ranges);
  return tensors;
}

function storedTensor(
  file: RangeFile,
  name: string,
  { dtype, shape }: z.infer<typeof tensorSchema>,
  offset: number,
  bytes: number,
): StoredTensor {
  const readable = Object.hasOwn(floatBytes, dtype);
  const form = dtype as FloatForm;
  const values = shape.reduce((product, size) => product * size, 1);
  if (readable && values * floatBytes[form] !== bytes) {
    throw new InvalidDataError(
      `${file.path}: ${name} is ${dtype} [${shape.join(', ')}], which takes ${values * floatBytes[form]} bytes; the header gives it ${bytes}.`,
    );
  }
  if (!readable) {
    const unreadable =
      `${file.path}: ${name} is stored as ${dtype}. ` +
      `Foldgate reads ${Object.keys(floatBytes).join(', ')}: fetch the unquantized checkpoint.`;
    return {
      name,
      shape,
      storedAs: dtype,
      unreadable,
      readRows: () => Promise.reject(new InvalidDataError(unreadable)),
    };
  }
  const rowLength = shape.slice(1).reduce((product, size) => product * size, 1);
  return {
    name,
    shape,
    storedAs: dtype,
    async readRows(start, count) {
      const out = new Float32Array(count * rowLength);
      const step = limits.readBytes / 4;
      for (let done = 0; done < out.length; done += step) {
        const part = out.subarray(done, done + step);
        const at = offset + (start * rowLength + done) * floatBytes[form];
        decodeFloats(form, await file.read(at, part.length * floatBytes[form]), part);
      }
      return out;
    },
  };
}
