import { readFile } from 'node:fs/promises';

/** A part of this process's address space. */
export interface Mapping {
  start: bigint;
  end: bigint;
  /** As the system writes them: `r-xp`. */
  rights: string;
  /** The file behind it, a name in brackets, or empty. */
  name: string;
  /** Bytes in memory that no file holds. */
  anonymous: number;
}

/** What the system says of this process's memory; nothing on systems that do not say. */
export async function mappings(): Promise<Mapping[]> {
  if (process.platform !== 'linux') return [];
  const smaps = await readFile('/proc/self/smaps', 'utf8').catch(() => '');
  const found: Mapping[] = [];
  for (const line of smaps.split('\n')) {
    const [, from, to, rights = '', name = ''] =
      /^([0-9a-f]+)-([0-9a-f]+) (\S{4}) \S+ \S+ \d+\s*(.*)$/.exec(line) ?? [];
    if (from !== undefined) {
      found.push({ start: BigInt(`0x${from}`), end: BigInt(`0x${to}`), rights, name, anonymous: 0 });
      continue;
    }
    const [, kilobytes] = /^Anonymous:\s+(\d+) kB/.exec(line) ?? [];
    if (kilobytes !== undefined) found.at(-1)!.anonymous = Number(kilobytes) * 1024;
  }
  return found;
}
