import { randomUUID } from 'node:crypto';
import { type FileHandle, link, mkdir, open, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';

/** Temporary files start with this; a crash may leave one behind, and whoever cleans up knows it by it. */
export const temporaryPrefix = '.foldgate-';

/** File systems without hard links answer one of these. */
const noHardLinks = new Set(['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK']);

/**
 * Writes a file that appears whole or not at all: `fill` writes a temporary file in the same folder, which
 * is flushed to the disk and then takes the name `path`. Folders are made as needed.
 * @returns false when `ifAbsent` found a file there (which then stays).
 */
export async function writeAtomically(
  path: string,
  fill: (file: FileHandle) => Promise<void>,
  { ifAbsent = false }: { ifAbsent?: boolean | undefined } = {},
): Promise<boolean> {
  const temporary = join(dirname(path), `${temporaryPrefix}${basename(path).slice(0, 64)}-${randomUUID()}`);
  const file = await openIn(dirname(path), temporary);
  try {
    try {
      await fill(file);
      // Without this, a power failure after the rename could leave a file of the right size full of zeros.
      await file.sync();
    } finally {
      await file.close();
    }
    if (ifAbsent) return await claim(temporary, path);
    await rename(temporary, path);
    return true;
  } finally {
    await rm(temporary, { force: true });
    await syncFolder(dirname(path));
  }
}

/** Opens a new file; a folder that someone removes as empty at the same moment is made again. */
async function openIn(folder: string, path: string): Promise<FileHandle> {
  for (let attempt = 1; ; attempt++) {
    await mkdir(folder, { recursive: true });
    try {
      return await open(path, 'wx+');
    } catch (error) {
      if (codeOf(error) !== 'ENOENT' || attempt === 5) throw error;
    }
  }
}

/** Gives `temporary` the name `path` unless that is taken; a hard link decides that atomically. */
async function claim(temporary: string, path: string): Promise<boolean> {
  try {
    await link(temporary, path);
    return true;
  } catch (error) {
    const code = codeOf(error);
    if (code === 'EEXIST') return false;
    if (code === undefined || !noHardLinks.has(code)) throw error;
  }
  // Without links two writers can both believe they were first. Content-addressed files make that harmless.
  if (await exists(path)) return false;
  await rename(temporary, path);
  return true;
}

/** Makes the new name itself survive a power failure. Some systems cannot sync folders; then it is skipped. */
async function syncFolder(folder: string): Promise<void> {
  try {
    const handle = await open(folder, 'r');
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  } catch {}
}

async function exists(path: string): Promise<boolean> {
  return (await statIfThere(path)) !== undefined;
}

/** Like `stat`, but undefined where there is nothing. */
export async function statIfThere(path: string): Promise<Awaited<ReturnType<typeof stat>> | undefined> {
  try {
    return await stat(path);
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

/** The path, or a folder on the way to it, does not exist. */
export function isMissing(error: unknown): boolean {
  const code = codeOf(error);
  return code === 'ENOENT' || code === 'ENOTDIR';
}

export function codeOf(error: unknown): string | undefined {
  return (error as NodeJS.ErrnoException | undefined)?.code;
}
