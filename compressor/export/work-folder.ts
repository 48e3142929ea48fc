import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { withFileLock } from '../../artifact/file-lock.ts';
import type { WrittenBlob } from './blob-writer.ts';

/** An interrupted fold that nobody took up again for this long is swept away. */
const abandonedAfterMs = 7 * 24 * 3600 * 1000;

/**
 * Where a fold writes before it publishes. The folder's name is a digest of everything the result depends
 * on, so that running an interrupted fold again finds the steps that were done.
 */
export class WorkFolder {
  readonly path: string;
  #done: Record<string, WrittenBlob>;

  /**
   * Opens the folder for `work` alone: another process that folds the same takes its turn, so that neither
   * removes what the other is publishing.
   * @param identity as for `open`
   * @param options.onWait called where another process has the folder
   */
  static use<Result>(
    parent: string,
    identity: unknown,
    work: (folder: WorkFolder) => Promise<Result>,
    { onWait, signal }: { onWait?: () => void; signal?: AbortSignal } = {},
  ): Promise<Result> {
    const path = join(parent, nameOf(identity));
    const turn = async () => work(await WorkFolder.open(parent, identity));
    return withFileLock(`${path}.lock`, turn, signal, onWait);
  }

  /** @param identity everything the result depends on, as JSON values */
  static async open(parent: string, identity: unknown): Promise<WorkFolder> {
    await mkdir(parent, { recursive: true });
    await sweep(parent);
    const path = join(parent, nameOf(identity));
    await mkdir(path, { recursive: true });
    return new WorkFolder(path, await readState(join(path, 'state.json')));
  }

  private constructor(path: string, done: Record<string, WrittenBlob>) {
    this.path = path;
    this.#done = done;
  }

  /** Steps that an earlier run finished. */
  get resumedSteps(): number {
    return Object.keys(this.#done).length;
  }

  /** The result of a step that was done, where its blob is still whole. */
  async find(step: string): Promise<WrittenBlob | undefined> {
    const known = this.#done[step];
    const file = known && (await stat(join(this.path, known.sha256)).catch(() => undefined));
    return file?.size === known?.bytes ? known : undefined;
  }

  /** Runs a step, or gives the result of an earlier run whose blob is still whole. */
  async once(step: string, write: () => Promise<WrittenBlob>): Promise<WrittenBlob> {
    const known = await this.find(step);
    if (known) return known;
    const blob = await write();
    this.#done = { ...this.#done, [step]: blob };
    const temporary = join(this.path, `state.${process.pid}.partial`);
    await writeFile(temporary, JSON.stringify(this.#done));
    await rename(temporary, join(this.path, 'state.json'));
    return blob;
  }

  async remove(): Promise<void> {
    await rm(this.path, { recursive: true, force: true });
  }
}

function nameOf(identity: unknown): string {
  return createHash('sha256').update(JSON.stringify(identity)).digest('hex').slice(0, 32);
}

async function readState(path: string): Promise<Record<string, WrittenBlob>> {
  try {
    return JSON.parse(await readFile(path, 'utf8'));
  } catch {
    return {}; // not there, or cut short when the machine went down: the steps are run again
  }
}

async function sweep(parent: string): Promise<void> {
  for (const name of await readdir(parent)) {
    const path = join(parent, name);
    const { mtimeMs } = await stat(path).catch(() => ({ mtimeMs: Date.now() }));
    if (Date.now() - mtimeMs > abandonedAfterMs) await rm(path, { recursive: true, force: true });
  }
}
