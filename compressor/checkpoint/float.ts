/** Float32 values of little-endian floats: typed arrays share this order on every machine Node runs on. */
export type FloatForm = 'F32' | 'F16' | 'BF16';

export const floatBytes: Record<FloatForm, number> = { F32: 4, F16: 2, BF16: 2 };

/** Every float16 as float32: 256 KB that make the conversion one look-up. */
const float16 = new Float32Array(65536).map((_, bits) => halfToFloat(bits));

/** The float16 at `bytes[at]`, as float32. */
export function halfAt(bytes: Uint8Array, at: number): number {
  return float16[bytes[at]! | (bytes[at + 1]! << 8)]!;
}

/** @param bytes of whole values; copied, so any alignment will do */
export function decodeFloats(form: FloatForm, bytes: Uint8Array, out: Float32Array): void {
  if (form === 'F32') {
    new Uint8Array(out.buffer, out.byteOffset, out.byteLength).set(bytes);
    return;
  }
  const halves = bytes.byteOffset % 2 === 0 ? bytes : bytes.slice();
  const bits = new Uint16Array(halves.buffer, halves.byteOffset, out.length);
  if (form === 'F16') {
    for (let i = 0; i < bits.length; i++) out[i] = float16[bits[i]!]!;
    return;
  }
  // A bfloat16 is the upper half of a float32.
  const words = new Uint32Array(out.buffer, out.byteOffset, out.length);
  for (let i = 0; i < bits.length; i++) words[i] = bits[i]! << 16;
}

function halfToFloat(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0x1f) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/** Little-endian bytes of float32 values, rounded to nearest even where the form is shorter. */
export function encodeFloats(form: Exclude<FloatForm, 'F16'>, values: Float32Array): Uint8Array {
  if (form === 'F32') return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  const words = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const halves = new Uint16Array(values.length);
  for (let i = 0; i < words.length; i++) {
    const bits = words[i]!;
    // A NaN whose payload lies in the lower half must not become an infinity.
    const notNumber = (bits & 0x7fffffff) > 0x7f800000;
    halves[i] = notNumber ? (bits >>> 16) | 0x40 : (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16;
  }
  return new Uint8Array(halves.buffer);
}
