import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import type { Caller } from './caller.ts';

/** One key as it is kept: the key itself is nowhere but with its owner. */
export interface KeyEntry extends Caller {
  /** `sha256:` and hex. */
  readonly hash: string;
}

/** Tells a key of this server from others' at a glance, also for scanners of leaked secrets. */
const keyPrefix = 'fg-';

/** So many that no search finds one: a fast hash is as good as a slow one then. */
const keyBytes = 32;

export function newKey(): string {
  return keyPrefix + randomBytes(keyBytes).toString('base64url');
}

export function hashKey(key: string): string {
  return `sha256:${digest(key).toString('hex')}`;
}

/** The keys that a server takes. */
export class ApiKeys {
  #entries: readonly { caller: Caller; digest: Buffer }[] = [];

  constructor(entries: readonly KeyEntry[]) {
    this.replace(entries);
  }

  get size(): number {
    return this.#entries.length;
  }

  /** From the next request on. */
  replace(entries: readonly KeyEntry[]): void {
    this.#entries = entries.map(({ hash, ...caller }) => ({
      caller,
      digest: Buffer.from(hash.slice(hash.indexOf(':') + 1), 'hex'),
    }));
  }

  /** Whose key it is. Takes as long whichever it is, and whether or not it is one. */
  find(key: string): Caller | undefined {
    const presented = digest(key);
    let found: Caller | undefined;
    for (const { caller, digest } of this.#entries) if (timingSafeEqual(digest, presented)) found = caller;
    return found;
  }
}

function digest(key: string): Buffer {
  return createHash('sha256').update(key).digest();
}
