import { sizeOf } from '../../autodiff/expression.ts';
import { type FloatForm, floatBytes } from '../float.ts';

/** A tensor of a safetensors file. */
export interface HeaderEntry {
  name: string;
  shape: readonly number[];
  dtype: FloatForm;
}

/**
 * The beginning of a safetensors file: length and JSON. The tensors' bytes follow in the order of the entries, at a
 * multiple of 8, as safetensors' own writer pads.
 */
export function safetensorsHeader(metadata: Record<string, string>, entries: readonly HeaderEntry[]): Buffer {
  let offset = 0;
  const header: Record<string, unknown> = { __metadata__: metadata };
  for (const { name, shape, dtype } of entries) {
    const end = offset + sizeOf(shape) * floatBytes[dtype];
    header[name] = { dtype, shape, data_offsets: [offset, end] };
    offset = end;
  }
  const json = Buffer.from(JSON.stringify(header));
  const padded = Math.ceil(json.length / 8) * 8;
  const bytes = Buffer.alloc(8 + padded, ' ');
  bytes.writeBigUInt64LE(BigInt(padded));
  json.copy(bytes, 8);
  return bytes;
}
