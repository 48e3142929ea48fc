import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { useHugePages } from '../../artifact/onnxruntime/huge-pages.ts';

const megabyte = 2 ** 20;

/** Of this process; 0 on systems that have none. */
function hugeBytes(): number {
  if (process.platform !== 'linux') return 0;
  const [, kilobytes] = /^AnonHugePages:\s+(\d+) kB/m.exec(readFileSync('/proc/self/smaps_rollup', 'utf8'))!;
  return Number(kilobytes) * 1024;
}

describe('huge pages', () => {
  it('take what is in use, and leave its content and what is untouched as they are', async () => {
    const weights = new Float32Array((32 * megabyte) / 4).map((_, i) => i % 1000);
    const untouched = new Float32Array((64 * megabyte) / 4);
    const before = hugeBytes();
    const rss = process.memoryUsage().rss;
    const moved = await useHugePages();
    if (moved === 0)
      console.warn('This system moves nothing into huge pages: their gain is not tested here.');
    else expect(moved).toBeGreaterThanOrEqual(28 * megabyte);
    // What is counted is what the system has.
    expect(hugeBytes() - before).toBeGreaterThanOrEqual(0.9 * moved);
    expect(process.memoryUsage().rss - rss).toBeLessThan(16 * megabyte);
    expect(weights.every((value, i) => value === i % 1000)).toBe(true);
    expect(untouched[5]).toBe(0);
  });

  it('leave time for other work between two pages', async () => {
    const weights = new Float32Array((16 * megabyte) / 4).fill(1);
    let turns = 0;
    const moved = await useHugePages(async () => void turns++);
    expect(turns).toBeGreaterThanOrEqual(moved / (2 * megabyte));
    expect(weights[7]).toBe(1);
  });
});
