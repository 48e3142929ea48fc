import { createHash } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { Checkpoint } from './checkpoint.ts';

/**
 * Changes when any of the checkpoint's files is replaced, appears or goes: by their sizes and times, since
 * hashing gigabytes would take longer than many a fold. A digest, for manifests that others read: it gives
 * no path away.
 * @returns 32 hex digits
 */
export async function fingerprint(checkpoint: Checkpoint): Promise<string> {
  const files = await Promise.all(
    checkpoint.files.map(async (path) => {
      const found = await stat(path).catch(() => undefined);
      return [resolve(path), found?.size, found?.mtimeMs];
    }),
  );
  return createHash('sha256').update(JSON.stringify(files)).digest('hex').slice(0, 32);
}
