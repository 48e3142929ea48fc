import { type FileHandle, open } from 'node:fs/promises';
import { endianness } from 'node:os';
import { InvalidDataError } from '../../artifact/errors.ts';
import { isMissing, writeAtomically } from '../../artifact/store/atomic-file.ts';
import { type HeaderEntry, safetensorsHeader } from '../checkpoint/huggingface/safetensors-header.ts';
import { type Coder, type Coding, coders, codings } from '../coding/coder.ts';
import { decodeFrames, encodeFrames, mostFramedBytes } from '../coding/frames.ts';

/** Arrays by name, and a JSON value. */
export interface State {
  meta: unknown;
  /** In the order in which they are written and read. */
  arrays: [name: string, values: Float32Array][];
}

/** Bytes of a header, at most: names of some 100,000 arrays. */
const maxHeader = 16 * 2 ** 20;

/**
 * Writes a safetensors file (the JSON in its metadata) that appears whole or not at all: whoever dies while
 * writing leaves the one before.
 * @param coding of the arrays, which other readers see as bytes then; whoever reads them here need not know it
 */
export async function writeState(path: string, state: State, coding: Coding = 'none'): Promise<void> {
  refuseBigEndian();
  await writeAtomically(path, (file) =>
    coding === 'none' ? writePlain(file, state) : writeCoded(file, state, coding),
  );
}

async function writePlain(file: FileHandle, { meta, arrays }: State): Promise<void> {
  const entries = arrays.map(
    ([name, values]): HeaderEntry => ({ name, shape: [values.length], dtype: 'F32' }),
  );
  await file.writeFile(safetensorsHeader({ foldgate: JSON.stringify(meta) }, entries));
  for (const [, values] of arrays) await file.writeFile(bytesOf(values));
}

/** The header, which comes first, is known last: it gets the room that it would take if nothing became shorter. */
async function writeCoded(file: FileHandle, { meta, arrays }: State, coding: Coding): Promise<void> {
  const metadata = { foldgate: JSON.stringify(meta), coding };
  const entry = (name: string, bytes: number): HeaderEntry => ({ name, shape: [bytes], dtype: 'U8' });
  const longest = arrays.map(([name, { byteLength }]) => entry(name, mostFramedBytes(byteLength)));
  const { length: room } = safetensorsHeader(metadata, longest);
  await file.writeFile(Buffer.alloc(room));
  const entries: HeaderEntry[] = [];
  for (const [name, values] of arrays) {
    let length = 0;
    for (const bytes of encodeFrames(bytesOf(values), coders[coding], values.BYTES_PER_ELEMENT)) {
      await file.writeFile(bytes);
      length += bytes.length;
    }
    entries.push(entry(name, length));
  }
  const header = safetensorsHeader(metadata, entries, room);
  for (let at = 0; at < room; ) at += (await file.write(header, at, room - at, at)).bytesWritten;
}

/** @returns the JSON value of a state, or undefined where there is no file */
export async function readMeta(path: string): Promise<unknown> {
  const header = await readHeader(path);
  return header?.meta;
}

/**
 * Fills the arrays from a state that has just these.
 * @throws InvalidDataError where it has others
 */
export async function readArrays(path: string, arrays: State['arrays']): Promise<void> {
  const header = await readHeader(path);
  if (!header) throw new InvalidDataError(`${path} is gone.`);
  const file = await open(path, 'r');
  try {
    for (const [name, values] of arrays) {
      const [start, end] = header.offsets.get(name) ?? [0, 0];
      const place = { start: header.dataStart + start, bytes: end - start };
      if (header.coding !== 'none') await readFrames(file, path, place, coders[header.coding], name, values);
      else if (place.bytes === values.byteLength) await read(file, path, place.start, bytesOf(values));
      else
        throw new InvalidDataError(
          `${path} has ${place.bytes} bytes of ${name}, expected ${values.byteLength}.`,
        );
    }
  } finally {
    await file.close();
  }
}

async function readFrames(
  file: FileHandle,
  path: string,
  { start, bytes }: { start: number; bytes: number },
  coder: Coder,
  name: string,
  values: Float32Array,
): Promise<void> {
  let at = start;
  const next = async (length: number) => {
    if (at + length > start + bytes) throw damaged(path);
    const part = new Uint8Array(length);
    await read(file, path, at, part);
    at += length;
    return part;
  };
  await decodeFrames(next, coder, values.BYTES_PER_ELEMENT, bytesOf(values)).catch((cause: unknown) => {
    throw damaged(path, cause);
  });
  if (at !== start + bytes)
    throw new InvalidDataError(`${path} has more of ${name} than the expected ${values.length} numbers.`);
}

/** Fills `bytes` from the file. */
async function read(file: FileHandle, path: string, start: number, bytes: Uint8Array): Promise<void> {
  const { bytesRead } = await file.read(bytes, 0, bytes.length, start);
  if (bytesRead !== bytes.length) throw damaged(path);
}

async function readHeader(path: string) {
  refuseBigEndian();
  const file = await open(path, 'r').catch((error: unknown) => {
    if (isMissing(error)) return undefined;
    throw error;
  });
  if (!file) return undefined;
  try {
    const prefix = Buffer.alloc(8);
    await file.read(prefix, 0, 8, 0);
    const length = Number(prefix.readBigUInt64LE());
    if (length > maxHeader) throw damaged(path);
    const json = Buffer.alloc(length);
    await file.read(json, 0, length, 8);
    const { __metadata__, ...tensors } = JSON.parse(json.toString());
    const entries = Object.entries(tensors as Record<string, { data_offsets: [number, number] }>);
    const coding = (__metadata__.coding ?? 'none') as Coding;
    if (!codings.includes(coding))
      throw new InvalidDataError(
        `${path} is coded by ${coding}, which this version cannot read (it knows ${codings.join(', ')}).`,
      );
    return {
      meta: JSON.parse(__metadata__.foldgate) as unknown,
      coding,
      offsets: new Map(entries.map(([name, entry]) => [name, entry.data_offsets])),
      dataStart: 8 + length,
    };
  } catch (cause) {
    if (cause instanceof InvalidDataError) throw cause;
    throw damaged(path, cause);
  } finally {
    await file.close();
  }
}

function damaged(path: string, cause?: unknown): InvalidDataError {
  return new InvalidDataError(`${path} is damaged. Remove it to begin anew.`, { cause });
}

function bytesOf(values: Float32Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}

/** Arrays are written as they lie in memory. */
function refuseBigEndian(): void {
  if (endianness() !== 'LE') throw new InvalidDataError('Training states are for little-endian machines.');
}
