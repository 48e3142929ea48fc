import { z } from 'zod';
import { InvalidDataError, UsageError } from '../errors.ts';
import { modelNamePattern } from '../manifest.ts';

/**
 * Where things lie in a store:
 * - `blobs/SHA256`: weights, graph and tokenizer files, shared by every model that has them in common. The
 *   graph names its weights as files beside it, so it can be opened right there.
 * - `models/NAME/manifests/SHA256.json`: every version that was published, never changed.
 * - `models/NAME/current.json`: which of them the name means now. Written last.
 * - `models/NAME/prefixes/GRAPH/PREFIX.json`: a computed prompt, whose keys and values are a blob, for versions with
 *   that graph. The graph's sha256 stands for the weights too: it names them by theirs.
 */
export const blobPrefix = 'blobs/';
export const modelPrefix = 'models/';

export const blobKey = (sha256: string) => `${blobPrefix}${sha256}`;
export const manifestKey = (name: string, sha256: string) => `${manifestPrefix(name)}${sha256}.json`;
export const manifestPrefix = (name: string) => `${modelPrefix}${name}/manifests/`;
/** Of one graph, where it is given. */
export const prefixesPrefix = (name: string, graph?: string) =>
  `${modelPrefix}${name}/prefixes/${graph === undefined ? '' : `${graph}/`}`;
export const prefixKey = (name: string, graph: string, prefix: string) =>
  `${prefixesPrefix(name, graph)}${prefix}.json`;
export const pointerKey = (name: string) => `${modelPrefix}${name}/current.json`;

/** A manifest of 4096 layers is under 1 MiB; a chat template adds kilobytes. Guards against a foreign file. */
export const maxManifestBytes = 16 * 1024 * 1024;

const maxPointerBytes = 64 * 1024;

const pointerSchema = z.object({
  manifest: z.string().regex(/^[0-9a-f]{64}$/),
  publishedAt: z.iso.datetime(),
});

export type Pointer = z.infer<typeof pointerSchema>;
export const pointerLimit = { maxBytes: maxPointerBytes };

/** @throws InvalidDataError */
export function parsePointer(bytes: Uint8Array, where: string): Pointer {
  try {
    return pointerSchema.parse(JSON.parse(new TextDecoder().decode(bytes)));
  } catch (cause) {
    throw new InvalidDataError(
      `${where} is no pointer ({"manifest": sha256, "publishedAt": time}). Publish the model again.`,
      { cause },
    );
  }
}

export function formatPointer(pointer: Pointer): Uint8Array {
  return new TextEncoder().encode(`${JSON.stringify(pointer)}\n`);
}

/** @throws UsageError */
export function checkModelName(name: string, where = 'The name'): void {
  if (!modelNamePattern.test(name)) {
    throw new UsageError(
      `${where}: ${JSON.stringify(name)} is no model name. Expected 1 to 128 letters, digits, ".", "_" and ` +
        '"-", the first a letter or digit.',
    );
  }
}
