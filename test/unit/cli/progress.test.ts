import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { formatBytes, progress } from '../../../cli/progress.ts';

let written: string;

function on({ terminal }: { terminal: boolean }) {
  vi.spyOn(process.stderr, 'write').mockImplementation((text) => {
    written += text;
    return true;
  });
  vi.spyOn(process.stderr, 'isTTY', 'get').mockReturnValue(terminal);
}

beforeEach(() => {
  written = '';
  // `isTTY` is there on a terminal alone; a spy needs a getter.
  Object.defineProperty(process.stderr, 'isTTY', { get: () => false, configurable: true });
  vi.useFakeTimers({ toFake: ['performance'] });
});
afterEach(() => {
  vi.restoreAllMocks();
  vi.useRealTimers();
});

describe('progress in a log', () => {
  it('is a line where a step begins and one where it ends', () => {
    on({ terminal: false });
    const show = progress();
    for (let done = 0; done <= 1000; done++) show.update('Folding', done, 1000);
    vi.advanceTimersByTime(1500);
    show.update('Measuring', 1, 2);
    show.finish();
    show.finish();
    expect(written).toBe('Folding ...\nFolding: 1000/1000, 1.5 s\nMeasuring ...\nMeasuring: 1/2, 0.0 s\n');
  });

  it('is nothing where no step began', () => {
    on({ terminal: false });
    progress().finish();
    expect(written).toBe('');
  });
});

describe('progress on a terminal', () => {
  const clear = '\r\x1b[K';

  it('redraws one line, not more often than people see', () => {
    on({ terminal: true });
    vi.advanceTimersByTime(10_000);
    const show = progress({ format: (done, total) => `${(100 * done) / total}%` });
    show.update('Folding', 0, 200);
    for (let done = 1; done <= 50; done++) {
      vi.advanceTimersByTime(1);
      show.update('Folding', done, 200);
    }
    vi.advanceTimersByTime(2150);
    show.update('Folding', 100, 200);
    show.update('Folding', 200, 200);
    show.finish();
    expect(written.split(clear)).toEqual([
      '',
      'Folding: 0%',
      'Folding: 50%, 3 s left',
      'Folding: 100%, 2.2 s\n',
    ]);
  });

  it('writes long times in minutes', () => {
    on({ terminal: true });
    vi.advanceTimersByTime(10_000);
    const show = progress();
    show.update('Folding', 0, 100);
    vi.advanceTimersByTime(10_000);
    show.update('Folding', 10, 100);
    expect(written).toContain('1 min 30 s left');
  });
});

describe('formatBytes', () => {
  it.each([
    [0, '0 B'],
    [999, '999 B'],
    [1000, '1.00 kB'],
    [12_345_678, '12.3 MB'],
    [5e15, '5000.0 TB'],
  ])('writes %i as %s', (bytes, text) => {
    expect(formatBytes(bytes)).toBe(text);
  });

  it('never writes a thousand of a smaller unit', () => {
    for (const bytes of [999_940, 999_950, 999_999, 999_999_999])
      expect(formatBytes(bytes)).not.toMatch(/^1000/);
  });
});
