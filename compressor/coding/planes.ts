/**
 * Bytes of equal place together: of float32 numbers, first the lowest bytes of all, last those with sign and exponent.
 * Their exponents are much alike, their lowest bytes are noise, and a coder that sees them apart can tell.
 * @param bytes of whole numbers
 * @returns [width, numbers]; the bytes themselves where they are numbers
 */
export function planesOf(bytes: Uint8Array, width: number): Uint8Array {
  if (width === 1) return bytes;
  const numbers = bytes.length / width;
  const planes = new Uint8Array(bytes.length);
  for (let place = 0; place < width; place++) {
    const plane = planes.subarray(place * numbers, (place + 1) * numbers);
    for (let i = 0, from = place; i < numbers; i++, from += width) plane[i] = bytes[from]!;
  }
  return planes;
}

/** The way back. @param bytes is filled */
export function fromPlanes(planes: Uint8Array, width: number, bytes: Uint8Array): void {
  if (width === 1) {
    bytes.set(planes);
    return;
  }
  const numbers = bytes.length / width;
  for (let place = 0; place < width; place++) {
    const plane = planes.subarray(place * numbers, (place + 1) * numbers);
    for (let i = 0, to = place; i < numbers; i++, to += width) bytes[to] = plane[i]!;
  }
}
