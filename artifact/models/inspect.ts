import { mapConcurrently } from '../concurrency.ts';
import { withPromptWeights } from '../decoder/prompt-weights.ts';
import { FoldgateError } from '../errors.ts';
import { type Blob, bytesOf, distinctBlocks, graphsOf, type Manifest } from '../manifest.ts';
import type { NamedPrefix } from '../prefixes/entry.ts';
import { readPrefixes } from '../prefixes/read.ts';
import type { CallOptions, Store } from '../store/store.ts';
import { listNames, type PublishedModel, readManifest } from './read.ts';

/** Manifests read at the same time while listing. */
const parallelManifests = 8;

/** What there is to know about a published model, in the order a reader asks. Also `inspect --json`. */
export interface ModelSummary {
  name: string;
  architecture: string;
  layers: Manifest['layers'];
  distinctBlocks: number;
  /** Of all blobs together, each once. */
  bytes: number;
  /** Of these, of the weights that prompts are read with, where it has any of their own. */
  promptWeightBytes: number;
  /** Of the folded model, every distinct block counted once. */
  parameters: number;
  /** Of the checkpoint. */
  originalParameters: number;
  quantization: Manifest['quantization'];
  /** Blocks with matrices that are stored otherwise than their kind. */
  exceptions: { block: number; quantization: Partial<Manifest['quantization']> }[];
  /** Blocks whose MLP is narrower than `dimensions` says. */
  narrower: { block: number; intermediateSize: number }[];
  /** How the plan was found: `influence`, `loss`, ... */
  method: string;
  /** The sha256 of the manifest. */
  version: string;
  publishedAt: string;
  dimensions: Manifest['dimensions'];
  folding: Manifest['folding'];
  quality: NonNullable<Manifest['quality']>;
  blobs: { role: string; sha256: string; bytes: number }[];
  /** Computed prompts of this version; their bytes are none of the model's. */
  prefixes: { name: string; tokens: number; elementType: string; sha256: string; bytes: number }[];
}

/** @throws NotFoundError listing the names that exist; InvalidDataError. */
export async function inspect(store: Store, name: string, options: CallOptions = {}): Promise<ModelSummary> {
  const published = await readManifest(store, name, options);
  const prefixes = await readPrefixes(store, name, graphsOf(published.manifest), options);
  return summarize(name, published, prefixes);
}

/** Bytes that are read of a model and its prefixes together. */
export function bytesWithPrefixes({ bytes, prefixes }: ModelSummary): number {
  return prefixes.reduce((sum, prefix) => sum + prefix.bytes, bytes);
}

function summarize(
  name: string,
  { manifest, digest, publishedAt }: PublishedModel,
  prefixes: readonly NamedPrefix[],
): ModelSummary {
  return {
    name,
    architecture: manifest.architecture,
    layers: manifest.layers,
    distinctBlocks: distinctBlocks(manifest),
    bytes: bytesOf(manifest),
    promptWeightBytes: bytesOf(manifest) - bytesOf(withPromptWeights(manifest, 'same')),
    parameters: manifest.parameters.folded,
    originalParameters: manifest.parameters.original,
    quantization: manifest.quantization,
    exceptions: manifest.weights.flatMap(({ block, quantization }) =>
      block !== undefined && quantization ? [{ block, quantization }] : [],
    ),
    narrower: manifest.weights.flatMap(({ block, intermediateSize }) =>
      block !== undefined && intermediateSize !== undefined ? [{ block, intermediateSize }] : [],
    ),
    method: manifest.folding.method,
    version: digest,
    publishedAt: publishedAt.toISOString(),
    dimensions: manifest.dimensions,
    folding: manifest.folding,
    quality: manifest.quality ?? [],
    blobs: rolesOf(manifest),
    prefixes: prefixes.map(({ name, tokens, cache, blob }) => ({
      name,
      tokens: tokens.length,
      elementType: cache.elementType,
      ...blob,
    })),
  };
}

export type ListedModel = { name: string } & (
  | { summary: ModelSummary }
  /** Why the model cannot be read; the others can be. */
  | { problem: string }
);

/** Every published model, in the order of their names. */
export async function listModels(store: Store, options: CallOptions = {}): Promise<ListedModel[]> {
  const names = await listNames(store, options);
  const read = async (name: string, signal: AbortSignal): Promise<ListedModel> => {
    try {
      return { name, summary: await inspect(store, name, { signal }) };
    } catch (error) {
      if (!(error instanceof FoldgateError)) throw error;
      return { name, problem: error.message };
    }
  };
  return await mapConcurrently(names, parallelManifests, read, options.signal);
}

function rolesOf(manifest: Manifest): ModelSummary['blobs'] {
  const tokenizer = Object.entries(manifest.tokenizer).map(([role, blob]) => ({ role, blob }));
  const weights = manifest.weights.map((blob) => ({
    role: blob.block === undefined ? blob.kind : `${blob.kind} ${blob.block}`,
    blob,
  }));
  const { int8Cache, promptWeights } = manifest;
  const all: { role: string; blob: Blob | undefined }[] = [
    { role: 'graph', blob: manifest.graph },
    { role: 'int8 graph', blob: int8Cache?.graph },
    { role: 'cache scales', blob: int8Cache?.scales },
    { role: 'prompt graph', blob: promptWeights?.graph },
    { role: 'int8 prompt graph', blob: promptWeights?.int8CacheGraph },
    ...tokenizer,
    ...weights,
    ...(promptWeights?.blocks ?? []).map((blob, block) => ({ role: `prompt block ${block}`, blob })),
  ];
  return all.flatMap(({ role, blob }) => (blob ? [{ role, sha256: blob.sha256, bytes: blob.bytes }] : []));
}
