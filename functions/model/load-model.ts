import type { ArrivingModel } from '../../artifact/cache.ts';
import { chatTemplate } from '../../artifact/chat-template.ts';
import { readerOf } from '../../artifact/decoder/decoder-options.ts';
import { InvalidDataError } from '../../artifact/errors.ts';
import type { Blob, Manifest } from '../../artifact/manifest.ts';
import { readTokenizerFiles } from '../../artifact/models/tokenizer-files.ts';
import type { Store } from '../../artifact/store/store.ts';
import { parseTokenizer, type Tokenizer } from '../../artifact/tokenizer.ts';
import { createEngine, type EngineOptions, prefixRoom } from '../engine/create-engine.ts';
import { longestToken, tokenPieces } from '../text/pieces.ts';
import { type ReadVersionsOptions, readVersions, type VersionPair } from './draft.ts';
import { beginFetchOf, type FetchVersionsOptions } from './fetch-versions.ts';
import type { LoadedModel } from './loaded-model.ts';
import { checkMemory } from './memory-check.ts';
import { StoredPrefixes } from './stored-prefixes.ts';
import { vocabularyOf } from './vocabulary.ts';

export interface LoadOptions
  extends Partial<Omit<EngineOptions, 'graphPath' | 'manifest' | 'draft'>>,
    FetchVersionsOptions {
  /** Told when a part of the work is done, in this order. */
  onPhase?: (phase: LoadPhase) => void;
  /** Prompts that begin like a prefix in the store begin with its keys and values, where that is quicker. @default true */
  storedPrefixes?: boolean | undefined;
  /** Told of prefixes that could not be had; prompts are computed instead. */
  onPrefixFailure?: ((error: Error) => void) | undefined;
}

/** The manifest is read, the blobs are here, the engine can run. */
export type LoadPhase = 'manifest' | 'blobs' | 'session';

/**
 * A model from a store, ready to answer. A cold start is short where all of it goes on at once: while the weights
 * arrive, the tokenizer is read and the engine's thread gets ready.
 * @throws NotFoundError, InvalidDataError from the store; EngineError where the graph does not open; FoldgateError
 * where there is too little memory for it; UsageError for an int8 cache that it has no scales for, and where the other
 * model cannot draft for it.
 * @param options.draft name of a model in the same store that guesses for it. @default none
 */
export async function loadModel(
  store: Store,
  name: string,
  {
    draft,
    promptWeights,
    ...options
  }: LoadOptions & Pick<ReadVersionsOptions, 'draft' | 'promptWeights'> = {},
): Promise<LoadedModel> {
  const versions = await readVersions(store, name, { signal: options.signal, draft, promptWeights });
  return await loadVersion(store, name, versions, options);
}

/** As `loadModel`, of the version that was read. */
export async function loadVersion(
  store: Store,
  name: string,
  versions: VersionPair,
  options: LoadOptions = {},
): Promise<LoadedModel> {
  const { cacheFolder, cacheBytes, signal, onProgress, onPhase, onFetched, ...rest } = options;
  const { storedPrefixes = true, onPrefixFailure, ...engineOptions } = rest;
  const { manifest, digest, draft } = versions;
  onPhase?.('manifest');
  readerOf(manifest, options.kvCache); // tells of missing scales before anything travels
  checkMemory(versions, options.kvCache);
  // Whatever fails, the rest of the work ends with it.
  const failed = new AbortController();
  const model = await beginFetchOf(store, versions, {
    cacheFolder,
    cacheBytes,
    signal: signal ? AbortSignal.any([signal, failed.signal]) : failed.signal,
    onProgress,
    onFetched,
  });
  model.complete.then(
    () => onPhase?.('blobs'),
    () => {},
  );
  const reading = readTokenizer(manifest, model);
  const ended = new AbortController();
  const { graphPath, draftGraphPath } = model;
  const engine: EngineOptions = {
    ...engineOptions,
    graphPath,
    manifest,
    draft: draft && { graphPath: draftGraphPath!, manifest: draft.manifest },
  };
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
    graph: readerOf(manifest, options.kvCache).sha256,
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
    return { ...texts, draft, engine, prefixes };
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
