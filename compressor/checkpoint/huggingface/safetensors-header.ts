import { sizeOf } from '../../autodiff/expression.ts';
import { type FloatForm, floatBytes } from '../float.ts';

/** A tensor of a safetensors file. */
export interface HeaderEntry {
  name: string;
  shape: readonly number[];
  /** `U8` for what is no number to anyone else. */
  dtype: FloatForm | 'U8';
}

/**
 * The beginning of a safetensors file: length and JSON. The tensors' bytes follow in the order of the entries, at a
 * multiple of 8, as safetensors' own writer pads.
 * @param atLeast bytes of all of it, a multiple of 8: where room was left before the entries were known
 */
export function safetensorsHeader(
  metadata: Record<string, string>,
  entries: readonly HeaderEntry[],
  atLeast = 0,
): Buffer {
  let offset = 0;
  const header: Record<string, unknown> = { __metadata__: metadata };
  for (const { name, shape, dtype } of entries) {
    const end = offset + sizeOf(shape) * (dtype === 'U8' ? 1 : floatBytes[dtype]);
    header[name] = { dtype, shape, data_offsets: [offset, end] };
    offset = end;
  }
  const json = Buffer.from(JSON.stringify(header));
  const padded = Math.max(Math.ceil(json.length / 8) * 8, atLeast - 8);
  const bytes = Buffer.alloc(8 + padded, ' ');
  bytes.writeBigUInt64LE(BigInt(padded));
  json.copy(bytes, 8);
  return bytes;
}
