import { fetchModel } from '../../artifact/cache.ts';
import { chatTemplate } from '../../artifact/chat-template.ts';
import { InvalidDataError } from '../../artifact/errors.ts';
import { bytesOf, type Manifest } from '../../artifact/manifest.ts';
import { type PublishedModel, readManifest } from '../../artifact/models/read.ts';
import { readTokenizerFiles } from '../../artifact/models/tokenizer-files.ts';
import type { Store } from '../../artifact/store/store.ts';
import { parseTokenizer, type Tokenizer } from '../../artifact/tokenizer.ts';
import { createEngine, type EngineOptions } from '../engine/create-engine.ts';
import { longestToken, tokenPieces } from '../text/pieces.ts';
import type { LoadedModel } from './loaded-model.ts';
import { vocabularyOf } from './vocabulary.ts';

export interface LoadOptions extends Partial<Omit<EngineOptions, 'graphPath' | 'manifest'>> {
  /** @default $FOLDGATE_CACHE, else the user's cache folder */
  cacheFolder?: string | undefined;
  /** Bytes that the cache's blobs may take. @default no limit */
  cacheBytes?: number | undefined;
  signal?: AbortSignal | undefined;
  /** Bytes of blobs that are on this machine, of how many. */
  onProgress?: (done: number, total: number) => void;
}

/**
 * A model from a store, ready to answer: its blobs brought into the cache, its engine started while its
 * tokenizer is read.
 * @throws NotFoundError, InvalidDataError from the store; EngineError where the graph does not open.
 */
export async function loadModel(store: Store, name: string, options: LoadOptions = {}): Promise<LoadedModel> {
  return await loadVersion(store, name, await readManifest(store, name, options), options);
}

/** As `loadModel`, of the version that was read. */
export async function loadVersion(
  store: Store,
  name: string,
  { manifest, digest }: PublishedModel,
  options: LoadOptions = {},
): Promise<LoadedModel> {
  const { cacheFolder, cacheBytes, signal, onProgress, ...engineOptions } = options;
  const local = await fetchModel(store, manifest, {
    cacheFolder,
    cacheBytes,
    signal,
    onProgress: counted(manifest, onProgress),
  });
  const reading = Promise.withResolvers<Tokenizer>();
  const starting = createEngine({
    ...engineOptions,
    graphPath: local.graphPath,
    manifest,
    vocabulary: async () => vocabularyOf(await reading.promise, manifest),
  });
  try {
    const tokenizer = parseTokenizer(await readTokenizerFiles(manifest, local), manifest.name);
    reading.resolve(tokenizer);
    const texts = textParts(manifest, tokenizer);
    const fingerprint = `fp_${digest.slice(0, 12)}`;
    return { name, version: digest, fingerprint, engine: await starting, tokenizer, ...texts };
  } catch (error) {
    // Whichever failed first, no thread stays behind.
    await starting.then((engine) => engine[Symbol.asyncDispose]()).catch(() => {});
    throw error;
  }
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

function counted(manifest: Manifest, onProgress: LoadOptions['onProgress']): (bytes: number) => void {
  const total = bytesOf(manifest);
  let done = 0;
  return (bytes) => {
    done += bytes;
    onProgress?.(done, total);
  };
}
