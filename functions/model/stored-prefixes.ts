import { open, rm } from 'node:fs/promises';
import { defaultCacheFolder, type FetchOptions, fetchOne, isAtHand } from '../../artifact/cache.ts';
import { shrinkCache } from '../../artifact/cache-limit.ts';
import { cacheBytes } from '../../artifact/decoder/decoder-options.ts';
import { InvalidDataError } from '../../artifact/errors.ts';
import { lineOf } from '../../artifact/line-rate.ts';
import { blobKey, prefixesPrefix } from '../../artifact/models/layout.ts';
import { isOfForm, type NamedPrefix } from '../../artifact/prefixes/entry.ts';
import { type EntryKey, listEntries, readEntry } from '../../artifact/prefixes/read.ts';
import { checkDigest } from '../../artifact/store/digest.ts';
import type { Store } from '../../artifact/store/store.ts';
import type { Engine, EnginePrefixes, PrefixRoom } from '../engine/engine.ts';
import { commonLength, leastReuse } from '../engine/prefix-cache.ts';

/** Milliseconds that a prefix which could not be had is left alone. */
const failureRestMs = 60_000;

/** Prompt tokens after which this process knows better how fast it reads than the one that made the prefix. */
const tokensToKnow = 256;

export interface PrefixSource extends Pick<FetchOptions, 'cacheFolder' | 'cacheBytes' | 'onFetched'> {
  store: Store;
  /** The model's name. */
  model: string;
  /** The sha256 of the graph that runs it. */
  graph: string;
  /** Aborts what is still being fetched when the engine has ended. */
  signal: AbortSignal;
  /** Told of what could not be had; it is computed instead. */
  onFailure?: ((error: Error) => void) | undefined;
}

interface Known {
  entry: NamedPrefix;
  /** Whether the engine has it. */
  kept: boolean;
  /** It is on its way to the local disk, before anybody asked for it. */
  fetching: boolean;
  /** It is on its way to the engine. */
  coming: Promise<void> | undefined;
  /** By `performance.now()`. */
  restUntil: number;
}

/**
 * The computed prompts that a store has for a model. Their tokens are known; their keys and values come into the engine
 * when a prompt begins with them, where that takes less time than to compute them.
 */
export class StoredPrefixes {
  readonly #source: PrefixSource;
  readonly #room: PrefixRoom;
  #engine: EnginePrefixes | undefined;
  /** By where they lie, and when they were written. */
  #known = new Map<string, Known>();
  readonly #read = { tokens: 0, ms: 0 };

  private constructor(source: PrefixSource, room: PrefixRoom) {
    this.#source = source;
    this.#room = room;
  }

  /**
   * Reads what there is while the engine starts. What cannot be read is left out, and told of.
   * @param weights resolves when the model's blobs are here: the line is free from then on, while the session is made
   */
  static async open(
    source: PrefixSource,
    room: PrefixRoom,
    weights: Promise<void>,
    starting: Promise<Engine>,
  ): Promise<StoredPrefixes> {
    const prefixes = new StoredPrefixes(source, room);
    const reading = prefixes.refresh();
    void Promise.all([weights, reading]).then(
      () => prefixes.#fetchAhead(),
      () => {}, // without its weights there is no model
    );
    prefixes.#engine = (await starting).prefixes;
    await reading;
    return prefixes;
  }

  /** Takes up what was added and removed since. */
  async refresh(): Promise<void> {
    this.#take(await readAll(this.#source, this.#known));
  }

  /** What the engine's own reading of prompts took: against this the line is measured. */
  measured(tokens: number, ms: number): void {
    if (tokens < leastReuse) return;
    this.#read.tokens += tokens;
    this.#read.ms += ms;
  }

  /**
   * Gives the engine the stored prefix that has most in common with the prompt, unless it has that, or computes it
   * sooner. Waits no longer than computing takes; what comes later is there for the next prompt.
   * @returns milliseconds that it took
   * @throws the signal's reason, and nothing else
   */
  async supply(prompt: readonly number[], signal?: AbortSignal): Promise<number> {
    const begun = performance.now();
    const { known, tokens } = this.#nearest(prompt);
    if (!this.#engine || !known || known.kept) return 0;
    const here = await this.#isHere(known.entry);
    if (!here && !known.fetching && !this.#pays(known.entry, tokens)) return 0;
    const computeMs = tokens * this.#msPerToken(known.entry);
    known.coming ??= this.#give(known).finally(() => {
      known.coming = undefined;
    });
    await settled(known.coming, here ? undefined : computeMs, signal);
    return performance.now() - begun;
  }

  #nearest(prompt: readonly number[]): { known?: Known; tokens: number } {
    if (this.#known.size === 0) return { tokens: 0 };
    const wanted = prompt.slice(0, -1); // the last one's logits have to be computed
    let nearest: { known?: Known; tokens: number } = { tokens: leastReuse - 1 };
    for (const known of this.#known.values()) {
      if (known.restUntil > performance.now()) continue;
      const tokens = commonLength(known.entry.tokens, wanted);
      if (tokens > nearest.tokens) nearest = { known, tokens };
    }
    return nearest;
  }

  #isHere({ blob }: NamedPrefix): Promise<boolean> {
    return isAtHand(this.#source.store, blob, this.#source.cacheFolder);
  }

  /** Whether its keys and values are fetched sooner than so many of its tokens are computed. */
  #pays(entry: NamedPrefix, tokens: number): boolean {
    const { bytesPerMs = Infinity } = lineOf(this.#source.store);
    return entry.blob.bytes / bytesPerMs < tokens * this.#msPerToken(entry);
  }

  /** Brings what pays to the local disk, the newest first, as much as the engine has room for. */
  async #fetchAhead(): Promise<void> {
    const newestFirst = [...this.#known.values()].sort((a, b) =>
      b.entry.createdAt.localeCompare(a.entry.createdAt),
    );
    let left = this.#room.budgetBytes;
    for (const known of newestFirst) {
      const { entry } = known;
      if (known.restUntil > performance.now()) continue;
      left -= entry.blob.bytes;
      if (left < 0 || this.#source.signal.aborted) return;
      if (!this.#pays(entry, entry.tokens.length) || (await this.#isHere(entry))) continue;
      known.fetching = true;
      await this.#fetch(entry)
        .catch((error) => this.#failed(known, error))
        .finally(() => {
          known.fetching = false;
        });
    }
  }

  #msPerToken({ computeMs, tokens }: NamedPrefix): number {
    const { tokens: read, ms } = this.#read;
    return read >= tokensToKnow ? ms / read : computeMs / tokens.length;
  }

  /** Never fails: without it the prompt is computed. */
  async #give(known: Known): Promise<void> {
    try {
      const memory = await this.#load(known.entry);
      known.kept = true;
      this.#engine!.keep(Int32Array.from(known.entry.tokens), memory, () => {
        known.kept = false;
      });
    } catch (error) {
      this.#failed(known, error as Error);
    }
  }

  #failed(known: Known, cause: Error): void {
    known.restUntil = performance.now() + failureRestMs;
    if (this.#source.signal.aborted) return;
    const { name, blob } = known.entry;
    const message = `The stored prefix ${name} (blob ${blob.sha256}) cannot be used, it is computed instead.`;
    this.#source.onFailure?.(new InvalidDataError(`${message} ${cause.message}`, { cause }));
  }

  /** Brings it to the local disk, where prefixes take no more than in memory. @returns where it is */
  async #fetch(entry: NamedPrefix): Promise<string> {
    const { cacheFolder = defaultCacheFolder() } = this.#source;
    if (!(await this.#isHere(entry))) {
      const others = new Set([...this.#known.values()].map(({ entry: { blob } }) => blob.sha256));
      await shrinkCache(cacheFolder, this.#room.budgetBytes - entry.blob.bytes, others);
    }
    return await fetchOne(this.#source.store, entry.blob, this.#source);
  }

  async #load(entry: NamedPrefix): Promise<ArrayBuffer> {
    const { store } = this.#source;
    const { blob } = entry;
    const path = await this.#fetch(entry);
    const memory = new Uint8Array(blob.bytes);
    const file = await open(path);
    try {
      const { bytesRead } = await file.read(memory);
      // At each reading, not at the download alone: wrong keys would make wrong answers, and this takes little.
      const hash = await crypto.subtle.digest('SHA-256', memory); // beside this thread, which answers others
      const actual = { sha256: Buffer.from(hash).toString('hex'), bytes: bytesRead };
      checkDigest(path, actual, blob);
    } catch (error) {
      // A cached copy is fetched again; the store's own is the operator's.
      if (store.localPath(blobKey(blob.sha256)) === undefined) await rm(path, { force: true });
      throw error;
    } finally {
      await file.close();
    }
    return memory.buffer;
  }

  /** @param found undefined where that could not be told */
  #take(found: Map<string, NamedPrefix> | undefined): void {
    if (!found) return;
    const known = new Map<string, Known>();
    for (const [key, entry] of found) {
      const { form, budgetBytes } = this.#room;
      if (!isOfForm(entry, form) || entry.blob.bytes > budgetBytes) continue;
      const isNew = !this.#known.has(key);
      const one = this.#known.get(key) ?? newlyKnown(entry);
      known.set(key, one);
      const bytes = cacheBytes(form, entry.tokens.length);
      if (entry.blob.bytes === bytes) continue;
      if (isNew) this.#failed(one, new Error(`${bytes} bytes are expected, not ${entry.blob.bytes}.`));
      one.restUntil = Infinity;
    }
    this.#known = known;
  }
}

function newlyKnown(entry: NamedPrefix): Known {
  return { entry, kept: false, fetching: false, coming: undefined, restUntil: -Infinity };
}

/** @param known is not read again */
async function readAll(
  { store, model, graph, signal, onFailure }: PrefixSource,
  known: ReadonlyMap<string, Known>,
): Promise<Map<string, NamedPrefix> | undefined> {
  const found = new Map<string, NamedPrefix>();
  const failed = (error: unknown) => {
    if (!signal.aborted) onFailure?.(error as Error);
  };
  const readOne = async (key: EntryKey) => {
    const id = `${key.info.key} ${key.info.modified.getTime()}`;
    const entry = known.get(id)?.entry ?? (await readEntry(store, key, { signal }).catch(failed));
    if (entry) found.set(id, entry);
  };
  try {
    await Promise.all((await listEntries(store, prefixesPrefix(model, graph), { signal })).map(readOne));
    return found;
  } catch (error) {
    failed(error);
    return undefined;
  }
}

/** Waits for what never fails, for no longer than so many milliseconds. @throws the signal's reason */
async function settled(work: Promise<void>, ms: number | undefined, signal?: AbortSignal): Promise<void> {
  signal?.throwIfAborted();
  const enough = Promise.withResolvers<void>();
  const timer = ms === undefined ? undefined : setTimeout(enough.resolve, ms);
  const abort = () => enough.reject(signal!.reason);
  signal?.addEventListener('abort', abort, { once: true });
  try {
    await Promise.race([work, enough.promise]);
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', abort);
  }
}
