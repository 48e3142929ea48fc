import { appendFile, readFile } from 'node:fs/promises';
import { isMissing, writeAtomically } from '../../artifact/store/atomic-file.ts';
import type { HeldOut, StepReport } from './cure-report.ts';

type Line = StepReport | ({ heldOut: true } & HeldOut);

/** A file of JSON lines: one a step (`StepReport`), and one a measurement on held-out text (`HeldOut`). */
export class Metrics {
  readonly #path: string;

  /**
   * Opens the file for a cure that goes on after some steps and measurements. Lines of later ones, which come
   * again, are dropped.
   */
  static async open(path: string, steps: number, measurements: number): Promise<Metrics> {
    const before = await readFile(path, 'utf8').catch((error: unknown) => {
      if (isMissing(error)) return '';
      throw error;
    });
    let measured = 0;
    const kept = before.split('\n').filter((text) => {
      const line = parse(text);
      if (!line) return false;
      return 'heldOut' in line ? measured++ < measurements : line.step <= steps;
    });
    await writeAtomically(path, (file) => file.writeFile(kept.map((line) => `${line}\n`).join('')));
    return new Metrics(path);
  }

  private constructor(path: string) {
    this.#path = path;
  }

  async add(line: Line): Promise<void> {
    await appendFile(this.#path, `${JSON.stringify(line)}\n`);
  }
}

/** Whoever was killed while writing left part of a line. */
function parse(text: string): Line | undefined {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
