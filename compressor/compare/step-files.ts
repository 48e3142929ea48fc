import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { writeAtomically } from '../../artifact/store/atomic-file.ts';

/** A step's file: what it depended on, what came of it, and how long it took. */
interface StepFile {
  identity: string;
  seconds: number;
  /** Undefined where the step was interrupted. */
  result?: unknown;
}

/** Finished steps, a JSON file each, so that work that was interrupted is not done again. */
export class StepFiles {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  pathOf(name: string, suffix = 'json'): string {
    return join(this.#folder, `${name}.${suffix}`);
  }

  /**
   * The result of a step that was done, or of doing it now. Results are JSON.
   * @param identity everything the result depends on, as JSON values: another one, and the step is done again
   */
  async once<Result>(
    name: string,
    identity: unknown,
    work: () => Promise<Result>,
  ): Promise<{ result: Result; seconds: number; isNew: boolean }> {
    const path = this.pathOf(name);
    const digest = digestOf(identity);
    const before = await read(path, digest);
    if (before?.result !== undefined)
      return { result: before.result as Result, seconds: before.seconds, isNew: false };
    const startedAt = performance.now();
    const seconds = () => (before?.seconds ?? 0) + (performance.now() - startedAt) / 1000;
    try {
      const result = await work();
      const took = seconds();
      await write(path, { identity: digest, seconds: took, result });
      return { result, seconds: took, isNew: true };
    } catch (error) {
      await write(path, { identity: digest, seconds: seconds() });
      throw error;
    }
  }
}

/** 32 hex digits. */
export function digestOf(identity: unknown): string {
  return createHash('sha256').update(JSON.stringify(identity)).digest('hex').slice(0, 32);
}

async function read(path: string, identity: string): Promise<StepFile | undefined> {
  try {
    const file: StepFile = JSON.parse(await readFile(path, 'utf8'));
    return file.identity === identity ? file : undefined;
  } catch {
    return undefined; // not there, or no JSON any more: the step is done again
  }
}

async function write(path: string, file: StepFile): Promise<void> {
  await writeAtomically(path, (handle) => handle.writeFile(`${JSON.stringify(file)}\n`));
}
