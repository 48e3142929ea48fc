import { realpath } from 'node:fs/promises';
import { basename, dirname, join, sep } from 'node:path';
import { InvalidDataError } from '../../artifact/errors.ts';

/**
 * Where a file of a checkpoint really lies. A checkpoint from elsewhere could link to any file of this
 * machine, and what is folded gets published.
 * @throws InvalidDataError for a link that leaves the folder; the system's error where there is no such file
 */
export async function pathInside(folder: string, name: string): Promise<string> {
  const path = join(folder, name);
  const [home, target] = await Promise.all([realpath(folder), realpath(path)]);
  if (isWithin(target, home) || isWithin(target, hubBlobs(home))) return target;
  throw new InvalidDataError(
    `${path} is a link to ${target}, outside the checkpoint's folder. Copy the file there instead.`,
  );
}

/** The hub's own cache keeps files as `snapshots/REVISION/name -> ../../blobs/HASH`. */
function hubBlobs(home: string): string | undefined {
  const snapshots = dirname(home);
  return basename(snapshots) === 'snapshots' ? join(dirname(snapshots), 'blobs') : undefined;
}

function isWithin(path: string, folder: string | undefined): boolean {
  return folder !== undefined && path.startsWith(folder.endsWith(sep) ? folder : folder + sep);
}
