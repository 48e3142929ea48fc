import { UsageError } from '../artifact/errors.ts';
import { Session, type SessionOptions } from '../artifact/onnxruntime/session.ts';

/** Where the float32 graphs of rankings, evaluations and training run: `cpu`, `cuda`, or `cuda:N`, one of several. */
let cuda: number | undefined;

/** For the whole process: its graphs take turns, and their weights are in the process's memory whatever runs them. */
export function computeOn(device: number | undefined): void {
  cuda = device;
}

/** @returns the CUDA device, undefined for the CPU. @throws UsageError for what names none */
export function parseDevice(name: string): number | undefined {
  if (name === 'cpu') return undefined;
  const match = /^cuda(?::(\d{1,2}))?$/.exec(name);
  if (!match) throw new UsageError(`--device takes cpu, cuda or cuda:N, not ${name}.`);
  return Number(match[1] ?? 0);
}

/** A session on the chosen device for a graph whose weights are inputs: they go there and back with every run. */
export function computeSession(graph: Uint8Array, options: SessionOptions = {}): Session {
  return new Session(graph, { ...(cuda !== undefined && { cuda }), ...options });
}
