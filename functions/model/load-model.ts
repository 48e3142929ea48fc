import { type ArrivingModel, beginFetch } from '../../artifact/cache.ts';
import { chatTemplate } from '../../artifact/chat-template.ts';
import { graphOf } from '../../artifact/decoder/decoder-options.ts';
import { InvalidDataError } from '../../artifact/errors.ts';
import { type Blob, bytesOf, type Manifest } from '../../artifact/manifest.ts';
import { type PublishedModel, readManifest } from '../../artifact/models/read.ts';
import { readTokenizerFiles } from '../../artifact/models/tokenizer-files.ts';
import type { Store } from '../../artifact/store/store.ts';
import { parseTokenizer, type Tokenizer } from '../../artifact/tokenizer.ts';
import { createEngine, type EngineOptions, prefixRoom } from '../engine/create-engine.ts';
import { longestToken, tokenPieces } from '../text/pieces.ts';
import type { LoadedModel } from './loaded-model.ts';
import { checkMemory } from './memory-check.ts';
import { StoredPrefixes } from './stored-prefixes.ts';
import { vocabularyOf } from './vocabulary.ts';

export interface LoadOptions extends Partial<Omit<EngineOptions, 'graphPath' | 'manifest'>> {
  /** @default $FOLDGATE_CACHE, else the user's cache folder */
  cacheFolder?: string | undefined;
  /** Bytes that the cache's blobs may take. @default no limit */
  cacheBytes?: number | undefined;
  signal?: AbortSignal | undefined;
  /** Bytes of blobs that are on this machine, of how many. */
  onProgress?: (done: number, total: number) => void;
  /** Told when a part of the work is done, in this order. */
  onPhase?: (phase: LoadPhase) => void;
  /** Told of each blob that came from the store, and of the milliseconds it took. */
  onFetched?: ((blob: FetchedBlob, ms: number) => void) | undefined;
  /** Prompts that begin like a prefix in the store begin with its keys and values, where that is quicker. @default true */
  storedPrefixes?: boolean | undefined;
  /** Told of prefixes that could not be had; prompts are computed instead. */
  onPrefixFailure?: ((error: Error) => void) | undefined;
}

export interface FetchedBlob {
  sha256: string;
  bytes: number;
  /** What it holds: `block`, `embedding`, `graph`, ... */
  kind: string;
}

/** The manifest is read, the blobs are here, the engine can run. */
export type LoadPhase = 'manifest' | 'blobs' | 'session';

/**
 * A model from a store, ready to answer. A cold start is short where all of it goes on at once: while the weights
 * arrive, the tokenizer is read and the engine's thread gets ready.
 * @throws NotFoundError, InvalidDataError from the store; EngineError where the graph does not open; FoldgateError
 * where there is too little memory for it; UsageError for an int8 cache that it has no scales for.
 */
export async function loadModel(store: Store, name: string, options: LoadOptions = {}): Promise<LoadedModel> {
  const published = await readManifest(store, name, options);
  return await loadVersion(store, name, published, options);
}

/** As `loadModel`, of the version that was read. */
export async function loadVersion(
  store: Store,
  name: string,
  { manifest, digest }: PublishedModel,
  options: LoadOptions = {},
): Promise<LoadedModel> {
  const { cacheFolder, cacheBytes, signal, onProgress, onPhase, onFetched, ...rest } = options;
  const { storedPrefixes = true, onPrefixFailure, ...engineOptions } = rest;
  onPhase?.('manifest');
  graphOf(manifest, options.kvCache); // tells of missing scales before anything travels
  checkMemory(manifest, options.kvCache);
  // Whatever fails, the rest of the work ends with it.
  const failed = new AbortController();
  const model = await beginFetch(store, manifest, {
    cacheFolder,
    cacheBytes,
    signal: signal ? AbortSignal.any([signal, failed.signal]) : failed.signal,
    onProgress: counted(manifest, onProgress),
    onFetched: onFetched && ((blob, ms) => onFetched({ ...blob, kind: kindOf(manifest, blob.sha256) }, ms)),
  });
  model.complete.then(
    () => onPhase?.('blobs'),
    () => {},
  );
  const reading = readTokenizer(manifest, model);
  const ended = new AbortController();
  const engine: EngineOptions = { ...engineOptions, graphPath: model.graphPath, manifest };
  const starting = createEngine({
    ...engine,
    files: model.complete,
    onEnd: () => {
      ended.abort();
      void model.release();
    },
    vocabulary: async () => vocabularyOf(await reading, manifest),
  });
  starting.catch(() => {}); // it may fail while the tokenizer is still being read
  const source = {
    store,
    model: name,
    graph: graphOf(manifest, options.kvCache).sha256,
    cacheFolder,
    cacheBytes,
    signal: ended.signal,
    onFetched: onFetched && ((blob: Blob, ms: number) => onFetched({ ...blob, kind: 'prefix' }, ms)),
    onFailure: onPrefixFailure,
  };
  const opening = storedPrefixes
    ? StoredPrefixes.open(source, prefixRoom(engine), model.complete, starting)
    : undefined;
  opening?.catch(() => {}); // where the engine does not start
  try {
    const texts = textModel(name, digest, manifest, await reading);
    const engine = await starting;
    const prefixes = await opening;
    onPhase?.('session');
    return { ...texts, engine, prefixes };
  } catch (error) {
    failed.abort(error);
    // No thread stays behind.
    await starting.then((engine) => engine[Symbol.asyncDispose]()).catch(() => {});
    throw error;
  }
}

/** A model's text side. */
export function textModel(name: string, version: string, manifest: Manifest, tokenizer: Tokenizer) {
  const fingerprint = `fp_${version.slice(0, 12)}`;
  return { name, version, fingerprint, manifest, tokenizer, ...textParts(manifest, tokenizer) };
}

/** Its files are among the first that arrive: it is read while the weights do. */
async function readTokenizer(manifest: Manifest, model: ArrivingModel): Promise<Tokenizer> {
  const files = Object.values(manifest.tokenizer);
  await Promise.all(files.map((file) => file && model.arrived(file.sha256)));
  return parseTokenizer(await readTokenizerFiles(manifest, model), manifest.name);
}

function textParts(manifest: Manifest, tokenizer: Tokenizer) {
  const { bos, eos, chatTemplate: source } = manifest.tokens;
  const named = { ...tokenizer.namedTokens };
  // A checkpoint without tokenizer_config.json (GGUF) still has the tokens themselves.
  for (const [key, id] of [
    ['bos_token', bos],
    ['eos_token', eos[0]],
  ] as const) {
    const token = id === undefined ? undefined : tokenizer.tokenOf(id);
    if (token !== undefined) named[key] ??= token;
  }
  return {
    pieces: tokenPieces(tokenizer),
    longestToken: longestToken(tokenizer),
    ...compiled(source, named),
    // Models that have no token for the beginning of a text begin where another one ended.
    bos: bos ?? eos[0],
    eos,
    sampling: manifest.sampling,
  };
}

/** A template that does not compile is no obstacle to completions: chat requests are told of it. */
function compiled(
  source: string | undefined,
  named: Record<string, string>,
): Pick<LoadedModel, 'chatTemplate' | 'chatTemplateProblem'> {
  if (source === undefined) return { chatTemplate: undefined };
  try {
    return { chatTemplate: chatTemplate(source, named) };
  } catch (error) {
    if (!(error instanceof InvalidDataError)) throw error;
    const cause = error.cause instanceof Error ? ` (${error.cause.message})` : '';
    return { chatTemplate: undefined, chatTemplateProblem: `${error.message}${cause}` };
  }
}

function kindOf(manifest: Manifest, sha256: string): string {
  const { graph, int8Cache } = manifest;
  if (sha256 === graph.sha256 || sha256 === int8Cache?.graph.sha256) return 'graph';
  if (sha256 === int8Cache?.scales.sha256) return 'cache-scales';
  return manifest.weights.find((blob) => blob.sha256 === sha256)?.kind ?? 'tokenizer';
}

function counted(manifest: Manifest, onProgress: LoadOptions['onProgress']): (bytes: number) => void {
  const total = bytesOf(manifest);
  let done = 0;
  return (bytes) => {
    done += bytes;
    onProgress?.(done, total);
  };
}
