import { decodeFloats, type FloatForm, floatBytes } from '../../float.ts';
import type { BlockForm } from './block-form.ts';

const form = (name: FloatForm): BlockForm => ({
  name,
  blockSize: 1,
  blockBytes: floatBytes[name],
  dequantize: (bytes, out) => decodeFloats(name, bytes, out),
});

export const f32 = form('F32');
export const f16 = form('F16');
export const bf16 = form('BF16');
