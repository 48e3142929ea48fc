import { quantile } from '../client/quantile.ts';

/** What `npm run bench` writes with `--json`. Times in milliseconds; each list has a value per round. */
export interface BenchResults {
  model: string;
  machine: Machine;
  command: string;
  date: string;
  /** In the order of the tables; the first is what the others are compared with. */
  contenders: { name: string; bytes: number }[];
  coldStarts: { contender: string; firstTokenMs: number[] }[];
  engines: { contender: string; prefill: number[]; decode: number[] }[];
  closed: LoadCell[];
  open: (LoadCell & { perSecond: number })[];
}

export interface Machine {
  processor: string;
  cores: number;
  memoryBytes: number;
  threads: number;
  node: string;
}

/** One contender under one load. */
export interface LoadCell {
  contender: string;
  /** Slots of the server; of a closed loop also the requests under way. */
  streams: number;
  rounds: LoadRound[];
}

export interface LoadRound {
  tokensPerSecond: number;
  ttft: { p50: number; p95: number };
  interToken: { p50: number; p95: number };
  /** The most of the server's process while it was under load, in MB. */
  residentMb: number;
  failed: number;
}

export type Pick = (round: LoadRound) => number;

export const median = (values: readonly number[]) => quantile(values, 0.5);

export function cellOf(cells: readonly LoadCell[], contender: string, streams: number): LoadCell | undefined {
  return cells.find((cell) => cell.contender === contender && cell.streams === streams);
}

/** The median of the rounds. */
export function middle(cell: LoadCell, pick: Pick): number {
  return median(cell.rounds.map(pick));
}

/** The median of the rounds' ratios: rounds share the machine's moods, so their ratios vary less than values. */
export function ratio(cell: LoadCell, other: LoadCell, pick: Pick): number {
  return median(cell.rounds.map((round, i) => pick(round) / pick(other.rounds[i]!)));
}
