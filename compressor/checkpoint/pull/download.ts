import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open, rename, rm, stat } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { InvalidDataError } from '../../../artifact/errors.ts';
import { type Hub, type HubFile, TransientHubError } from './hub.ts';

/** Attempts in a row that bring no byte, and the wait before the second; it doubles each time. */
const attempts = 5;
const firstWaitMs = 500;

export interface DownloadOptions {
  /** @param bytes how much of the file is there, after each piece */
  onProgress(bytes: number): void;
  signal?: AbortSignal | undefined;
  /** @default 500 */
  firstWaitMs?: number | undefined;
}

/**
 * Fetches one file to `path`, by way of `path`.partial: an interrupted download goes on where it stopped.
 * @throws InvalidDataError where what came has another hash than the hub lists
 */
export async function download(
  hub: Hub,
  file: HubFile,
  path: string,
  options: DownloadOptions,
): Promise<void> {
  const partial = `${path}.partial`;
  const resumed = await sizeOf(partial);
  if (resumed > file.bytes) await rm(partial); // of another version
  await fill(hub, file, partial, options);
  let came = await digestOf(partial, file);
  if (came !== file.digest.hex && resumed > 0) {
    // What was there may have been another version's beginning.
    await rm(partial);
    await fill(hub, file, partial, options);
    came = await digestOf(partial, file);
  }
  if (came !== file.digest.hex) {
    await rm(partial);
    throw new InvalidDataError(
      `${file.path} came with ${file.digest.algorithm} ${came}, the hub lists ${file.digest.hex}. ` +
        'What came is deleted. Pull it again; if it happens twice, the hub or a proxy serves a damaged file.',
    );
  }
  await rename(partial, path);
}

/** Brings the partial file to its full length, through failures of the network. */
async function fill(hub: Hub, file: HubFile, partial: string, options: DownloadOptions): Promise<void> {
  let done = await sizeOf(partial);
  options.onProgress(done);
  if (file.bytes === 0) await (await open(partial, 'a')).close();
  let failures = 0;
  while (done < file.bytes) {
    try {
      const before = done;
      done = await append(hub, file, partial, done, options);
      if (done === before) throw new TransientHubError(`The hub sent nothing of ${file.path}.`);
    } catch (error) {
      if (!(error instanceof TransientHubError)) throw error;
      const reached = await sizeOf(partial);
      failures = reached > done ? 1 : failures + 1;
      done = reached;
      if (failures === attempts) throw error;
      await sleep(
        (options.firstWaitMs ?? firstWaitMs) * 2 ** (failures - 1),
        undefined,
        options.signal ? { signal: options.signal } : {},
      );
    }
  }
}

/** @returns the file's length after it */
async function append(
  hub: Hub,
  file: HubFile,
  partial: string,
  start: number,
  options: DownloadOptions,
): Promise<number> {
  let done = start;
  const target = await open(partial, 'a');
  try {
    for await (const piece of await hub.stream(file.path, start)) {
      // Never more than was announced, whatever the server sends.
      const wanted = piece.subarray(0, file.bytes - done);
      await target.appendFile(wanted);
      done += wanted.length;
      options.onProgress(done);
      if (wanted.length < piece.length) break;
    }
    return done;
  } finally {
    await target.close();
  }
}

/** The hash that the hub lists a file by. */
export async function digestOf(path: string, { digest, bytes }: HubFile): Promise<string> {
  const hash =
    digest.algorithm === 'sha256' ? createHash('sha256') : createHash('sha1').update(`blob ${bytes}\0`);
  for await (const chunk of createReadStream(path)) hash.update(chunk);
  return hash.digest('hex');
}

/** Bytes of the file, 0 where there is none. */
export async function sizeOf(path: string): Promise<number> {
  return (await stat(path).catch(() => undefined))?.size ?? 0;
}
