import { crc32 } from 'node:zlib';
import { InvalidDataError } from '../../artifact/errors.ts';
import type { Coder } from './coder.ts';

/** Bytes that are coded at a time: enough for a prior to be learned from, and all that is in memory of them. */
const frameBytes = 2 ** 20;

/** In front of each frame: how many coded bytes follow, and the CRC-32 of what they stand for. */
const headBytes = 8;

/** Bytes of all frames, at most: what does not get shorter is left as it is. */
export function mostFramedBytes(bytes: number): number {
  return bytes + headBytes * Math.ceil(bytes / frameBytes);
}

/**
 * Codes bytes frame by frame.
 * @param width bytes of one number
 */
export function* encodeFrames(plain: Uint8Array, coder: Coder, width: number): Generator<Uint8Array> {
  for (let at = 0; at < plain.length; at += frameBytes) {
    const part = plain.subarray(at, at + frameBytes);
    const coded = coder.encode(part, width);
    const kept = coded.length < part.length ? coded : part;
    const head = Buffer.alloc(headBytes);
    head.writeUInt32LE(kept.length, 0);
    head.writeUInt32LE(crc32(part), 4);
    yield head;
    yield kept;
  }
}

/**
 * The way back.
 * @param read gives the next bytes, just so many, or throws
 * @param plain is filled
 * @throws InvalidDataError where the frames are others than were written
 */
export async function decodeFrames(
  read: (bytes: number) => Promise<Uint8Array>,
  coder: Coder,
  width: number,
  plain: Uint8Array,
): Promise<void> {
  for (let at = 0; at < plain.length; at += frameBytes) {
    const part = plain.subarray(at, at + frameBytes);
    const head = Buffer.from(await read(headBytes));
    const length = head.readUInt32LE(0);
    // Before memory is taken for it.
    if (length > part.length) throw new InvalidDataError(`A frame of ${part.length} bytes claims ${length}.`);
    const coded = await read(length);
    if (length === part.length) part.set(coded);
    else coder.decode(coded, width, part);
    if (crc32(part) !== head.readUInt32LE(4))
      throw new InvalidDataError('A frame decodes to other bytes than were written.');
  }
}
