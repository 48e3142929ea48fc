import { memoryGrowth, residentBytes } from '../scenario/memory.ts';
import type { MemorySummary } from './summary.ts';

const everyMs = 1000;

/** Reads the server's resident memory from its `/metrics` every second while `work` runs. */
export async function watchingMemory<Result>(
  url: string,
  work: () => Promise<Result>,
): Promise<{ result: Result; memory: MemorySummary }> {
  const samples: number[] = [];
  let missing: string | undefined;
  const sample = async () => {
    const response = await fetch(`${url}/metrics`).catch(() => undefined);
    const bytes = response?.ok ? residentBytes(await response.text()) : undefined;
    if (bytes !== undefined) samples.push(bytes);
    else
      missing ??= `no process_resident_memory_bytes in ${url}/metrics (${response?.status ?? 'no answer'})`;
  };
  await sample();
  const timer = setInterval(() => void sample(), everyMs);
  try {
    const result = await work();
    if (samples.length === 0) return { result, memory: { missing } };
    return { result, memory: { residentBytes: Math.max(...samples), growth: memoryGrowth(samples) } };
  } finally {
    clearInterval(timer);
  }
}
