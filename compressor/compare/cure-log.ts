import { appendFileSync, mkdirSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { HeldOut, StepReport } from '../train/cure-report.ts';
import type { CurePoint } from './row.ts';

/** Points of a curve that a report shows; steps between them are averaged. */
const maxPoints = 200;

/** Keeps a cure's losses, since the cure's own folder goes when the fold is published. */
export class CureLog {
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
    mkdirSync(dirname(path), { recursive: true });
  }

  step({ tokens, loss }: StepReport): void {
    this.#add({ tokens, loss });
  }

  heldOut({ tokens, perplexity }: HeldOut): void {
    this.#add({ tokens, perplexity });
  }

  #add(point: CurePoint): void {
    appendFileSync(this.#path, `${JSON.stringify(point)}\n`);
  }

  /** In the order of tokens. Steps that an interrupted cure took twice count once. */
  async points(): Promise<CurePoint[]> {
    const text = await readFile(this.#path, 'utf8').catch(() => '');
    const points = text.split('\n').flatMap((line) => parse(line));
    const losses = new Map<number, CurePoint>();
    const perplexities = new Map<number, CurePoint>();
    for (const point of points) {
      (point.loss === undefined ? perplexities : losses).set(point.tokens, point);
    }
    const byTokens = (a: CurePoint, b: CurePoint) => a.tokens - b.tokens;
    return [...thin([...losses.values()].sort(byTokens)), ...[...perplexities.values()].sort(byTokens)];
  }
}

function thin(points: CurePoint[]): CurePoint[] {
  const step = Math.ceil(points.length / maxPoints);
  if (step <= 1) return points;
  const groups = Array.from({ length: Math.ceil(points.length / step) }, (_, i) =>
    points.slice(i * step, (i + 1) * step),
  );
  return groups.map((group) => ({
    tokens: group.at(-1)!.tokens,
    loss: group.reduce((sum, { loss }) => sum + loss!, 0) / group.length,
  }));
}

/** Whoever was killed while writing left part of a line. */
function parse(line: string): CurePoint[] {
  try {
    return [JSON.parse(line)];
  } catch {
    return [];
  }
}
