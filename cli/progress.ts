/** Redraws per second on a terminal. */
const redrawMs = 100;

export interface Progress {
  /** The state of a step: `done` of `total`, and what else is worth seeing. A new label begins a new step. */
  update(label: string, done: number, total: number, detail?: string): void;
  /** Ends the last step's line. */
  finish(): void;
}

export interface ProgressOptions {
  /** How a number of steps is written. @default `3/12` */
  format?: (done: number, total: number) => string;
}

/**
 * Shows long work on stderr: on a terminal one line a step with the time left, redrawn; elsewhere, as in
 * logs, one line when a step begins and ends.
 */
export function progress(options: ProgressOptions = {}): Progress {
  const format = options.format ?? ((done, total) => `${done}/${total}`);
  const terminal = process.stderr.isTTY;
  let current: { label: string; startedAt: number; last: string } | undefined;
  let drawnAt = 0;
  const finish = () => {
    if (!current) return;
    const seconds = ((performance.now() - current.startedAt) / 1000).toFixed(1);
    process.stderr.write(
      terminal
        ? `\r\x1b[K${current.label}: ${current.last}, ${seconds} s\n`
        : `${current.label}: ${current.last}, ${seconds} s\n`,
    );
    current = undefined;
  };
  return {
    update(label, done, total, detail) {
      if (current?.label !== label) {
        finish();
        current = { label, startedAt: performance.now(), last: '' };
        drawnAt = 0;
        if (!terminal) process.stderr.write(`${label} ...\n`);
      }
      current.last = detail ? `${format(done, total)}, ${detail}` : format(done, total);
      if (!terminal || performance.now() - drawnAt < redrawMs) return;
      drawnAt = performance.now();
      process.stderr.write(`\r\x1b[K${label}: ${current.last}${timeLeft(current.startedAt, done, total)}`);
    },
    finish,
  };
}

/** Progress whose numbers are bytes: `1.50 MB of 3.00 GB`. */
export function byteProgress(): Progress {
  return progress({ format: (done, total) => `${formatBytes(done)} of ${formatBytes(total)}` });
}

function timeLeft(startedAt: number, done: number, total: number): string {
  const elapsed = (performance.now() - startedAt) / 1000;
  if (done === 0 || done >= total || elapsed < 1) return '';
  const left = (elapsed / done) * (total - done);
  const minutes = Math.floor(left / 60);
  return `, ${minutes > 0 ? `${minutes} min ` : ''}${Math.ceil(left % 60)} s left`;
}

/** `12.3 MB`: decimal units, as sizes of downloads are given. */
export function formatBytes(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let value = bytes;
  let unit = 0;
  // 999.95 would print as 1000.0.
  while (value >= 999.95 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${unit === 0 ? value : value.toFixed(value < 10 ? 2 : 1)} ${units[unit]}`;
}
