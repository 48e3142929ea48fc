import type { KvSnapshot } from '../../artifact/decoder/kv-cache.ts';

/** Tokens that two sequences should have in common: to compute fewer anew takes no longer than to look for them. */
export const leastReuse = 16;

interface Entry {
  /** Undefined where anybody may begin with it. */
  salt: string | undefined;
  /** Those whose keys and values the snapshot has. */
  tokens: Int32Array;
  snapshot: KvSnapshot;
  onDrop?: (() => void) | undefined;
}

export interface Found {
  snapshot: KvSnapshot;
  /** How many of its tokens come first in the prompt. */
  tokens: number;
  /** Whether it is one that anybody may begin with. */
  isShared: boolean;
}

/**
 * Keys and values of past sequences, for prompts that begin like them: the next turn of a chat, a system
 * prompt that many have in common. Within a budget of bytes; the least recently used go first.
 */
export class PrefixCache {
  readonly #budget: number;
  /** Least recently used first. */
  readonly #entries: Entry[] = [];
  #bytes = 0;

  constructor(budgetBytes: number) {
    this.#budget = budgetBytes;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Whether a sequence of so many bytes may be kept at all. */
  holds(bytes: number): boolean {
    return bytes <= this.#budget;
  }

  /**
   * The longest beginning of the prompt that is known, of those with the same salt and those that all share.
   * @param atLeast of tokens; less is nothing
   */
  find(salt: string, prompt: ArrayLike<number>, atLeast: number): Found | undefined {
    let best: Entry | undefined;
    let most = atLeast - 1;
    for (const entry of [...this.#entries]) {
      if (!isFor(salt, entry)) continue;
      const tokens = commonLength(entry.tokens, prompt);
      if (tokens > most) [best, most] = [entry, tokens];
      // A chat's own past serves its next turn better, but what it began with is in use all the same.
      if (entry.salt === undefined && tokens >= atLeast) this.#used(entry);
    }
    if (!best) return undefined;
    this.#used(best);
    return { snapshot: best.snapshot, tokens: most, isShared: best.salt === undefined };
  }

  #used(entry: Entry): void {
    this.#entries.splice(this.#entries.indexOf(entry), 1);
    this.#entries.push(entry);
  }

  /** Whether there is an entry that begins with these tokens. */
  covers(salt: string, tokens: ArrayLike<number>): boolean {
    return this.#entries.some(
      (entry) => isFor(salt, entry) && commonLength(entry.tokens, tokens) === tokens.length,
    );
  }

  /** Entries that the new one begins with are dropped: it serves all that they served. */
  add(salt: string, tokens: Int32Array, snapshot: KvSnapshot): void {
    for (const entry of [...this.#entries]) {
      const isCovered = entry.salt === salt && commonLength(entry.tokens, tokens) === entry.tokens.length;
      if (isCovered) this.#drop(entry);
    }
    this.#push({ salt, tokens, snapshot });
  }

  /** What anybody's prompt may begin with. @param onDrop called when it has made room for others */
  addShared(tokens: Int32Array, snapshot: KvSnapshot, onDrop: () => void): void {
    this.#push({ salt: undefined, tokens, snapshot, onDrop });
  }

  #push(entry: Entry): void {
    this.#entries.push(entry);
    this.#bytes += entry.snapshot.bytes;
    while (this.#bytes > this.#budget) this.#drop(this.#entries[0]!);
  }

  #drop(entry: Entry): void {
    this.#entries.splice(this.#entries.indexOf(entry), 1);
    this.#bytes -= entry.snapshot.bytes;
    entry.snapshot[Symbol.dispose]();
    entry.onDrop?.();
  }
}

const isFor = (salt: string, entry: Entry) => entry.salt === undefined || entry.salt === salt;

/** How many tokens two sequences begin with in common. */
export function commonLength(one: ArrayLike<number>, other: ArrayLike<number>): number {
  const most = Math.min(one.length, other.length);
  let i = 0;
  while (i < most && one[i] === other[i]) i++;
  return i;
}
