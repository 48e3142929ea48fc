import { readdir, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { UsageError } from '../../artifact/errors.ts';
import { temporaryPrefix } from '../../artifact/store/atomic-file.ts';
import type { Coding } from '../coding/coder.ts';
import type { HeldOut } from './cure-report.ts';
import type { Position } from './data/packed.ts';
import type { Optimizer } from './optimizer.ts';
import { readArrays, readMeta, writeState } from './state-file.ts';

interface Meta {
  version: 1;
  identity: Record<string, unknown>;
  steps: number;
  position: Position | undefined;
  measured: HeldOut[];
}

/** All that a cure needs to go on: what the optimizer has, steps, the data's position, what was measured. */
export class CureState {
  readonly #path: string;
  readonly #identity: Record<string, unknown>;
  readonly #optimizer: Optimizer;
  readonly #coding: Coding;
  /** Where the data goes on; undefined at the start. */
  position: Position | undefined;
  measured: HeldOut[] = [];
  /** Whether a state was there: nothing needs preparing. */
  resumed = false;

  /**
   * Fills the optimizer's arrays from a state that is there.
   * @param identity everything the result depends on, as JSON values
   * @param coding of what is saved from now on, whatever the state that is there is coded by
   * @throws UsageError where the state is another cure's
   */
  static async open(
    path: string,
    identity: Record<string, unknown>,
    optimizer: Optimizer,
    coding: Coding = 'none',
  ): Promise<CureState> {
    const state = new CureState(path, identity, optimizer, coding);
    await sweep(dirname(path));
    const meta = (await readMeta(path)) as Meta | undefined;
    if (!meta) return state;
    const differing = meta.version === 1 ? differences(meta.identity, identity) : ['version'];
    if (differing.length > 0) {
      throw new UsageError(
        `${path} is the state of another cure (other: ${differing.join(', ')}). Go on with the settings and the data of that one, or remove it to begin anew.`,
      );
    }
    await readArrays(path, optimizer.arrays);
    state.resumed = true;
    optimizer.steps = meta.steps;
    state.position = meta.position;
    state.measured = meta.measured;
    return state;
  }

  private constructor(path: string, identity: Record<string, unknown>, optimizer: Optimizer, coding: Coding) {
    this.#path = path;
    this.#identity = identity;
    this.#optimizer = optimizer;
    this.#coding = coding;
  }

  async save(): Promise<void> {
    const { steps, arrays } = this.#optimizer;
    const { position, measured } = this;
    const meta: Meta = { version: 1, identity: this.#identity, steps, position, measured };
    await writeState(this.#path, { meta, arrays }, this.#coding);
  }
}

/** Removes what a cure left that was killed while it wrote: a state can be gigabytes. */
async function sweep(folder: string): Promise<void> {
  for (const name of await readdir(folder)) {
    if (name.startsWith(temporaryPrefix)) await rm(join(folder, name), { force: true });
  }
}

/** The names of what is not the same, at any depth. */
function differences(a: unknown, b: unknown, name = ''): string[] {
  const [one, other] = [JSON.stringify(a), JSON.stringify(b)];
  if (one === other) return [];
  const isRecord = (x: unknown): x is Record<string, unknown> =>
    typeof x === 'object' && x !== null && !Array.isArray(x);
  if (!isRecord(a) || !isRecord(b)) return [name];
  return [...new Set([...Object.keys(a), ...Object.keys(b)])].flatMap((key) =>
    differences(a[key], b[key], name === '' || name === 'settings' ? key : name),
  );
}
