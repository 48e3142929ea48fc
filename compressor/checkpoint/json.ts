import { withResource } from '../../artifact/dispose.ts';
import { InvalidDataError } from '../../artifact/errors.ts';
import { pathInside } from './inside.ts';
import { RangeFile } from './range-file.ts';

/**
 * Bytes of a file of the folder, undefined where there is none.
 * @throws InvalidDataError for a link out of the folder, or a file of more bytes than `limit`
 */
export async function readOptional(
  folder: string,
  name: string,
  limit: number,
): Promise<Uint8Array | undefined> {
  const path = await pathInside(folder, name).catch((error: { code?: string }) => {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  });
  return path === undefined ? undefined : readAll(path, limit);
}

/** @throws InvalidDataError where the file has more bytes than `limit` */
export async function readAll(path: string, limit: number): Promise<Uint8Array> {
  return withResource(await RangeFile.open(path), (file) => file.readAll(limit));
}

/** @throws InvalidDataError where the bytes are no UTF-8 or no JSON object */
export function parseObject(bytes: Uint8Array, where: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (cause) {
    throw new InvalidDataError(`${where} is no JSON. Fetch it again.`, { cause });
  }
  if (isObject(value)) return value;
  throw new InvalidDataError(
    `${where} holds ${Array.isArray(value) ? 'an array' : typeof value}, not a JSON object.`,
  );
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
