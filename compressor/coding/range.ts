import { InvalidDataError } from '../../artifact/errors.ts';
import { BitDecoder, BitEncoder } from './binary-coder.ts';
import type { Coder } from './coder.ts';
import { MixedPrior } from './mixed-prior.ts';
import { fromPlanes, planesOf } from './planes.ts';

/** Bits a byte, by its frequencies alone, from which on a plane is noise and is left as it is. */
const noise = 7.98;

/** Of a coded plane's length, in front of it. */
const lengthBytes = 4;

/**
 * Arithmetic coding under a learned prior: what LM-GC (arXiv 2409.17836) does with gradients, whose prior is a language
 * model that reads them as hexadecimal text, number by number. That takes hours a gigabyte even on accelerators; here the
 * prior is learned from the bytes themselves while they go by (`MixedPrior`), under the same kind of context: the digits
 * before, in the number and in the numbers before it.
 *
 * One byte says which planes are coded; then the planes follow, those of the highest bytes first.
 */
export const rangeCoder: Coder = {
  encode(plain, width) {
    const planes = planesOf(plain, width);
    const parts: Uint8Array[] = [Uint8Array.of(0)];
    for (let place = width - 1; place >= 0; place--) {
      const plane = planeAt(planes, width, place);
      if (entropy(plane) > noise) {
        parts.push(plane);
        continue;
      }
      const coded = encodePlane(plane, above(planes, width, place));
      const length = Buffer.alloc(lengthBytes);
      length.writeUInt32LE(coded.length);
      parts[0]![0]! |= 1 << place;
      parts.push(length, coded);
    }
    return Buffer.concat(parts);
  },

  decode(coded, width, plain) {
    const bytes = Buffer.from(coded.buffer, coded.byteOffset, coded.length);
    const planes = new Uint8Array(plain.length);
    let at = 1;
    const take = (length: number) => {
      if (at + length > bytes.length)
        throw new InvalidDataError(
          `${at + length} coded bytes were expected, and there are ${bytes.length}.`,
        );
      at += length;
      return bytes.subarray(at - length, at);
    };
    if (!(bytes[0]! < 1 << width))
      throw new InvalidDataError(`These are no ${plain.length} bytes of a range coder.`);
    for (let place = width - 1; place >= 0; place--) {
      const plane = planeAt(planes, width, place);
      if ((bytes[0]! & (1 << place)) === 0) plane.set(take(plane.length));
      else decodePlane(take(take(lengthBytes).readUInt32LE()), above(planes, width, place), plane);
    }
    if (at !== bytes.length)
      throw new InvalidDataError(`${at} coded bytes were expected, and there are ${bytes.length}.`);
    fromPlanes(planes, width, plain);
  },
};

function planeAt(planes: Uint8Array, width: number, place: number): Uint8Array {
  const numbers = planes.length / width;
  return planes.subarray(place * numbers, (place + 1) * numbers);
}

/** The plane of the next higher bytes; none for the highest. */
function above(planes: Uint8Array, width: number, place: number): Uint8Array | undefined {
  return place === width - 1 ? undefined : planeAt(planes, width, place + 1);
}

/** Nearest is the byte above in the same number, then the number before; in the highest plane the two numbers before. */
function begin(prior: MixedPrior, plane: Uint8Array, higher: Uint8Array | undefined, i: number): void {
  const before = plane[i - 1] ?? 0;
  if (higher) prior.begin(higher[i]!, before);
  else prior.begin(before, plane[i - 2] ?? 0);
}

function encodePlane(plane: Uint8Array, higher: Uint8Array | undefined): Uint8Array {
  const prior = new MixedPrior();
  const coder = new BitEncoder(plane.length);
  for (let i = 0; i < plane.length; i++) {
    begin(prior, plane, higher, i);
    for (let shift = 7; shift >= 0; shift--) {
      const bit = (plane[i]! >>> shift) & 1;
      coder.encode(bit, prior.probability);
      prior.update(bit);
    }
  }
  return coder.finish();
}

function decodePlane(coded: Uint8Array, higher: Uint8Array | undefined, plane: Uint8Array): void {
  const prior = new MixedPrior();
  const coder = new BitDecoder(coded);
  for (let i = 0; i < plane.length; i++) {
    begin(prior, plane, higher, i);
    let byte = 0;
    for (let known = 0; known < 8; known++) {
      const bit = coder.decode(prior.probability);
      prior.update(bit);
      byte = (byte << 1) | bit;
    }
    plane[i] = byte;
  }
  if (!coder.atEnd) throw new InvalidDataError('The coded bytes go on where the numbers are at an end.');
}

/** Bits a byte, by frequency. */
function entropy(bytes: Uint8Array): number {
  const counts = new Uint32Array(256);
  for (const byte of bytes) counts[byte]!++;
  return counts.reduce((sum, count) => {
    const share = count / bytes.length;
    return count === 0 ? sum : sum - share * Math.log2(share);
  }, 0);
}
