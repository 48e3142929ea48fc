import { removeDamagedBlobs } from '../../artifact/cache-check.ts';
import type { CacheType } from '../../artifact/decoder/decoder-options.ts';
import { InvalidDataError, NotFoundError } from '../../artifact/errors.ts';
import { bytesOf } from '../../artifact/manifest.ts';
import { listNames, notFound, readManifest, readPointer } from '../../artifact/models/read.ts';
import type { Store } from '../../artifact/store/store.ts';
import { type ReadVersionsOptions, readVersions, type VersionPair } from '../model/draft.ts';
import type { FetchedBlob } from '../model/fetch-versions.ts';
import { type LoadOptions, loadVersion } from '../model/load-model.ts';
import type { LoadedModel } from '../model/loaded-model.ts';
import { memoryFor, type ServedVersions } from '../model/memory-check.ts';
import { MemoryBudget } from './memory-budget.ts';
import { ModelRegistry } from './model-registry.ts';
import { createModelService, type ModelService } from './model-service.ts';

/** Tokens of context that a loaded model is reckoned with. */
const reckonedTokens = 2_048;

/** Milliseconds between looks for new versions. */
const defaultRefreshMs = 30_000;

/** Looks that a version which failed to load is spared, at most: each failure doubles them. */
const maxSparedLooks = 64;

export interface StoredModelsOptions {
  /** How each model is loaded. */
  load?:
    | (Omit<LoadOptions, 'signal' | 'onProgress' | 'onFetched' | 'onPrefixFailure'> &
        Pick<ReadVersionsOptions, 'promptWeights'>)
    | undefined;
  /** Names for requests, each with the model's name in the store. @default all models in the store */
  models?: readonly { id: string; name: string }[] | undefined;
  /** Names the model of the store that drafts for another, if one does. @default none do */
  draftOf?: undefined | ((name: string) => string | undefined);
  /** Bytes that loaded models may take together. @default no limit */
  memoryBytes?: number | undefined;
  /** Milliseconds between looks for new versions; 0 never looks. @default 30 s */
  refreshMs?: number | undefined;
  /** Told of a load's bytes, and of its end. */
  onProgress?: undefined | ((name: string, done: number, total: number) => void);
  onFetched?: undefined | ((name: string, blob: FetchedBlob, ms: number) => void);
  onLoaded?: undefined | ((model: LoadedModel, load: LoadReport) => void);
  onUnloaded?: undefined | ((model: LoadedModel) => void);
  /** Told of what failed and what it was about; clients are told less. */
  onFailure?: undefined | ((name: string, error: Error) => void);
  /** Told of stored prefixes that could not be had: prompts are computed instead. */
  onPrefixFailure?: undefined | ((name: string, error: Error) => void);
}

export interface LoadReport {
  /** Milliseconds. */
  ms: number;
  /** Of its blobs. */
  bytes: number;
}

/** The models of a store, loaded when they are asked for and kept at their newest version. */
export class StoredModels extends ModelRegistry {
  readonly #store: Store;
  readonly #options: StoredModelsOptions;
  readonly #budget: MemoryBudget | undefined;
  readonly #taken = new Map<LoadedModel, number>();
  readonly #failures = new Map<string, { version: string; count: number; spare: number }>();
  readonly #closing = new AbortController();
  /** Models that are no longer published, and that requests still have. */
  readonly #removed = new Set<ModelService>();
  #timer: NodeJS.Timeout | undefined;

  private constructor(store: Store, options: StoredModelsOptions) {
    super();
    this.#store = store;
    this.#options = options;
    const { memoryBytes: limitBytes } = options;
    if (limitBytes !== undefined)
      this.#budget = new MemoryBudget({ limitBytes, candidates: () => this.services });
  }

  /**
   * Finds the models; loads none.
   * @throws NotFoundError for a name that nothing is published under, or where there is no model at all.
   */
  static async open(store: Store, options: StoredModelsOptions = {}): Promise<StoredModels> {
    const models = new StoredModels(store, options);
    if (options.models) {
      for (const { id, name } of options.models) models.#addName(id, name);
      // The first one's load will tell; the others may be asked for much later.
      for (const { name } of options.models.slice(1))
        if (!(await readPointer(store, name))) throw await notFound(store, name, {});
    } else {
      await models.#findNames();
      if (!models.first)
        throw new NotFoundError(`There are no models in ${store.url}. Is it the right store?`);
    }
    models.#schedule();
    return models;
  }

  /** Looks for new versions and, where all models are served, for new and removed names. */
  async refresh(): Promise<void> {
    if (!this.#options.models) {
      await this.#findNames().catch((error: Error) => this.#options.onFailure?.(this.#store.url, error));
    }
    for (const service of this.services) {
      await this.#refreshOne(service).catch((error: Error) => this.#options.onFailure?.(service.name, error));
    }
  }

  override async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort();
    clearTimeout(this.#timer);
    await super[Symbol.asyncDispose]();
    await Promise.all([...this.#removed].map((service) => service[Symbol.asyncDispose]()));
  }

  #schedule(): void {
    const { refreshMs = defaultRefreshMs } = this.#options;
    if (refreshMs === 0 || this.#closing.signal.aborted) return;
    this.#timer = setTimeout(() => void this.refresh().finally(() => this.#schedule()), refreshMs);
    this.#timer.unref();
  }

  async #findNames(): Promise<void> {
    const { signal } = this.#closing;
    const there = new Set(await listNames(this.#store, { signal }));
    for (const { id, service } of this.names) {
      if (there.has(id)) continue;
      this.remove(id);
      this.#retire(service);
    }
    for (const name of there) if (!this.find(name)) this.#addName(name, name);
  }

  #retire(service: ModelService): void {
    if (service.users > 0) this.#removed.add(service);
    else void service[Symbol.asyncDispose]();
  }

  #addName(id: string, name: string): void {
    this.add(id, this.#find(name) ?? this.#newService(name));
  }

  #newService(name: string): ModelService {
    const service: ModelService = createModelService({
      name,
      load: (signal, beside) => this.#load(name, signal, beside ? service : undefined),
      manifest: async (signal) => (await readManifest(this.#store, name, { signal })).manifest,
      onFailure: (error) => this.#options.onFailure?.(name, error),
      onUnload: (model) => {
        this.#release(model);
        this.#options.onUnloaded?.(model);
      },
      onIdle: () => {
        this.#budget?.noteChange();
        if (this.#removed.delete(service)) void service[Symbol.asyncDispose]();
      },
    });
    return service;
  }

  async #load(name: string, signal: AbortSignal, beside: ModelService | undefined): Promise<LoadedModel> {
    const begun = performance.now();
    const { load: loadOptions, onProgress, onFetched, onLoaded, draftOf } = this.#options;
    const { promptWeights, ...engine } = loadOptions ?? {};
    const versions = await readVersions(this.#store, name, { signal, draft: draftOf?.(name), promptWeights });
    const memory = memoryOf(versions, engine.kvCache);
    await this.#budget?.take(memory, { wait: !beside, except: beside, signal });
    const fetched = new Set<string>();
    const load = () =>
      loadVersion(this.#store, name, versions, {
        ...engine,
        signal,
        onProgress: (done, total) => onProgress?.(name, done, total),
        onPrefixFailure: (error) => this.#options.onPrefixFailure?.(name, error),
        onDraftFailure: (error) => this.#options.onFailure?.(name, error),
        onFetched(blob, ms) {
          fetched.add(blob.sha256);
          onFetched?.(name, blob, ms);
        },
      });
    try {
      const model = await load().catch(async (error) => {
        // What does not open may be damaged here, and whole in the store.
        if (!(await this.#removeDamaged(name, versions, fetched))) throw error;
        return await load();
      });
      this.#taken.set(model, memory);
      onLoaded?.(model, { ms: performance.now() - begun, bytes: bytesOf(versions.manifest) });
      setImmediate(() => void this.#checkLater(name, versions, fetched)); // once requests get it
      return model;
    } catch (error) {
      this.#budget?.release(memory);
      throw error;
    }
  }

  /** Damage that opens all the same makes wrong texts: what lay in the cache is looked through once it is in use. */
  async #checkLater(name: string, versions: VersionPair, fetched: ReadonlySet<string>): Promise<void> {
    try {
      if (await this.#removeDamaged(name, versions, fetched)) await this.#find(name)?.renew();
    } catch (error) {
      if (!this.#closing.signal.aborted) this.#options.onFailure?.(name, error as Error);
    }
  }

  /** @param fetched blobs that were looked through when they came @returns whether there were any */
  async #removeDamaged(
    name: string,
    { manifest, draft }: VersionPair,
    fetched: ReadonlySet<string>,
  ): Promise<boolean> {
    const { signal } = this.#closing;
    const cacheFolder = this.#options.load?.cacheFolder;
    const options = { cacheFolder, except: fetched, signal };
    const damaged = await removeDamagedBlobs(this.#store, manifest, options);
    if (draft) damaged.push(...(await removeDamagedBlobs(this.#store, draft.manifest, options)));
    for (const { sha256 } of damaged) {
      const message = `Blob ${sha256} in the cache was damaged. It was removed, and is fetched again.`;
      this.#options.onFailure?.(name, new InvalidDataError(message));
    }
    return damaged.length > 0;
  }

  #find(name: string): ModelService | undefined {
    return this.services.find((service) => service.name === name);
  }

  #release(model: LoadedModel): void {
    this.#budget?.release(this.#taken.get(model) ?? 0);
    this.#taken.delete(model);
  }

  async #refreshOne(service: ModelService): Promise<void> {
    const { loaded, name } = service;
    if (!loaded) return; // a load reads the newest anyway
    const versionOf = async (name: string) =>
      (await readPointer(this.#store, name, { signal: this.#closing.signal }))?.manifest;
    const newest = await versionOf(name);
    const { draft } = loaded;
    const newestDraft = draft && ((await versionOf(draft.name)) ?? draft.digest);
    if (newest === loaded.version) await loaded.prefixes?.refresh();
    if (newest === undefined) return; // what was removed is served on
    if (newest === loaded.version && newestDraft === draft?.digest) return;
    const version = `${newest} ${newestDraft}`;
    const failure = this.#failures.get(name);
    if (failure?.version === version && failure.spare-- > 0) return;
    try {
      await service.renew();
      this.#failures.delete(name);
    } catch (error) {
      const count = failure?.version === version ? failure.count + 1 : 1;
      this.#failures.set(name, { version, count, spare: Math.min(2 ** count - 1, maxSparedLooks) });
      throw error;
    }
  }
}

/** Bytes of memory that a loaded model takes, and the one that drafts for it, as far as they are known beforehand. */
export function memoryOf(versions: ServedVersions, kvCache?: CacheType): number {
  return memoryFor(versions, kvCache, reckonedTokens);
}
