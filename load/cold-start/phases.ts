import type { Passage } from './slow-s3.ts';

/** Where the time from the start of a process to its first token went, in milliseconds. */
export interface Phases {
  /** Until it asked the store for anything. */
  init: number;
  /** Until it asked for the first blob. */
  manifest: number;
  /** Until the last byte had come. */
  blobs: number;
  /** Until the first token: what could not be done before all bytes were there. */
  session: number;
  /** Of `session`, reading the prompt, by the server's own account. */
  prefill: number;
  total: number;
}

/**
 * As it looks from outside: the line to the store saw every request and every byte.
 * @param firstTokenMs from the start of the process
 */
export function phasesOf(
  startedAt: number,
  passages: readonly Passage[],
  { firstTokenMs, prefillMs }: { firstTokenMs: number; prefillMs: number },
): Phases {
  const blobs = passages.filter(({ path }) => path.includes('/blobs/'));
  if (passages.length === 0 || blobs.length === 0) throw new Error('Nothing was fetched from the store.');
  const first = Math.min(...passages.map(({ askedAt }) => askedAt));
  const firstBlob = Math.min(...blobs.map(({ askedAt }) => askedAt));
  const last = Math.max(...blobs.map(({ endedAt }) => endedAt ?? 0));
  return {
    init: first - startedAt,
    manifest: firstBlob - first,
    blobs: last - firstBlob,
    session: startedAt + firstTokenMs - last,
    prefill: prefillMs,
    total: firstTokenMs,
  };
}

/** What a cold start may take, in milliseconds: 1.2 times what the line alone takes, and 300. */
export function allowance(floorMs: number): number {
  return 1.2 * floorMs + 300;
}
