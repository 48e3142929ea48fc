import { open } from 'node:fs/promises';
import { endianness } from 'node:os';
import { InvalidDataError } from '../../artifact/errors.ts';
import { isMissing, writeAtomically } from '../../artifact/store/atomic-file.ts';
import { safetensorsHeader } from '../checkpoint/huggingface/safetensors-header.ts';

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
 */
export async function writeState(path: string, { meta, arrays }: State): Promise<void> {
  refuseBigEndian();
  const header = safetensorsHeader(
    { foldgate: JSON.stringify(meta) },
    arrays.map(([name, values]) => ({ name, shape: [values.length], dtype: 'F32' })),
  );
  await writeAtomically(path, async (file) => {
    await file.writeFile(header);
    for (const [, values] of arrays) await file.writeFile(bytesOf(values));
  });
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
      if (end - start !== values.byteLength)
        throw new InvalidDataError(
          `${path} has ${end - start} bytes of ${name}, expected ${values.byteLength}.`,
        );
      const { bytesRead } = await file.read(bytesOf(values), 0, values.byteLength, header.dataStart + start);
      if (bytesRead !== values.byteLength) throw damaged(path);
    }
  } finally {
    await file.close();
  }
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
    return {
      meta: JSON.parse(__metadata__.foldgate) as unknown,
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
