import { open, rm } from 'node:fs/promises';
import { type FetchOptions, fetchOne, isAtHand } from '../../artifact/cache.ts';
import { InvalidDataError } from '../../artifact/errors.ts';
import { lineOf } from '../../artifact/line-rate.ts';
import { blobKey } from '../../artifact/models/layout.ts';
import { isOfForm, type NamedPrefix } from '../../artifact/prefixes/entry.ts';
import { listEntries, readEntry } from '../../artifact/prefixes/read.ts';
import { checkDigest, sha256 } from '../../artifact/store/digest.ts';
import type { Store } from '../../artifact/store/store.ts';
import type { Engine, EnginePrefixes } from '../engine/engine.ts';
import { commonLength, leastReuse } from '../engine/prefix-cache.ts';

/** Milliseconds that a prefix which could not be had is left alone. */
const failureRestMs = 60_000;

/** Prompt tokens after which this process knows better how fast it reads than the one that made the prefix. */
const tokensToKnow = 256;

export interface PrefixSource extends Pick<FetchOptions, 'cacheFolder' | 'cacheBytes' | 'onFetched'> {
  store: Store;
  /** The model's name. */
  model: string;
  /** The sha256 of its graph. */
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
  /** It is on its way to the engine. */
  coming: Promise<void> | undefined;
  /** By `performance.now()`. */
  restUntil: number;
}

/**
 * The computed prompts that a store has for a model. Their tokens are known; their keys and values are fetched when a
 * prompt begins with them, where that takes less time than to compute them.
 */
export class StoredPrefixes {
  readonly #source: PrefixSource;
  readonly #engine: EnginePrefixes;
  /** By where they lie, and when they were written. */
  #known = new Map<string, Known>();
  readonly #read = { tokens: 0, ms: 0 };

  private constructor(source: PrefixSource, engine: EnginePrefixes) {
    this.#source = source;
    this.#engine = engine;
  }

  /**
   * Reads what there is while the engine starts. What cannot be read is left out, and told of.
   * @returns undefined for an engine that takes none
   */
  static async open(source: PrefixSource, starting: Promise<Engine>): Promise<StoredPrefixes | undefined> {
    const reading = readAll(source, new Map());
    const { prefixes: engine } = await starting;
    if (!engine || engine.budgetBytes === 0) return undefined;
    const prefixes = new StoredPrefixes(source, engine);
    prefixes.#take(await reading);
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
    if (!known || known.kept) return 0;
    const { store, cacheFolder } = this.#source;
    const computeMs = tokens * this.#msPerToken(known.entry);
    const here = await isAtHand(store, known.entry.blob, cacheFolder);
    const { bytesPerMs = Infinity } = lineOf(store);
    if (!here && known.entry.blob.bytes / bytesPerMs >= computeMs) return 0;
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

  #msPerToken({ computeMs, tokens }: NamedPrefix): number {
    const { tokens: read, ms } = this.#read;
    return read >= tokensToKnow ? ms / read : computeMs / tokens.length;
  }

  /** Never fails: without it the prompt is computed. */
  async #give(known: Known): Promise<void> {
    const { name, tokens, blob } = known.entry;
    try {
      const memory = await this.#load(known.entry);
      known.kept = true;
      this.#engine.keep(Int32Array.from(tokens), memory, () => {
        known.kept = false;
      });
    } catch (error) {
      known.restUntil = performance.now() + failureRestMs;
      if (this.#source.signal.aborted) return;
      const message = `The stored prefix ${name} (blob ${blob.sha256}) cannot be used, it is computed instead.`;
      this.#source.onFailure?.(
        new InvalidDataError(`${message} ${(error as Error).message}`, { cause: error }),
      );
    }
  }

  async #load({ blob }: NamedPrefix): Promise<ArrayBuffer> {
    const { store } = this.#source;
    const path = await fetchOne(store, blob, this.#source);
    const memory = new Uint8Array(blob.bytes);
    const file = await open(path);
    try {
      const { bytesRead } = await file.read(memory);
      // At each reading, not at the download alone: wrong keys would make wrong answers, and this takes little.
      const actual = { sha256: sha256(memory), bytes: bytesRead };
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
      if (!isOfForm(entry, this.#engine.form) || entry.blob.bytes > this.#engine.budgetBytes) continue;
      known.set(key, this.#known.get(key) ?? { entry, kept: false, coming: undefined, restUntil: -Infinity });
    }
    this.#known = known;
  }
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
  const readOne = async (key: Awaited<ReturnType<typeof listEntries>>[number]) => {
    const id = `${key.info.key} ${key.info.modified.getTime()}`;
    const entry = known.get(id)?.entry ?? (await readEntry(store, key, { signal }).catch(failed));
    if (entry) found.set(id, entry);
  };
  try {
    await Promise.all((await listEntries(store, model, graph, { signal })).map(readOne));
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
