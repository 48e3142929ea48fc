import { isDeepStrictEqual } from 'node:util';
import { z } from 'zod';
import type { CacheForm } from '../decoder/decoder-options.ts';
import { InvalidDataError, UsageError } from '../errors.ts';
import { blobSchema, count, modelNamePattern, positive } from '../manifest.ts';

/** Entries of another version are refused: a reader must never guess at a layout. */
export const prefixSchemaVersion = 1;

/** A million tokens in decimal digits. Guards against a foreign file. */
export const maxEntryBytes = 8 * 1024 * 1024;

const entrySchema = z.object({
  schemaVersion: z.literal(prefixSchemaVersion),
  /** Those that prompts have to begin with. */
  tokens: z.array(count.max(2 ** 31 - 1)).min(1),
  /** The sha256 of the graph that computed it, which names the weights by theirs. */
  graph: blobSchema.shape.sha256,
  /** How the keys and values lie in the blob: `arrays` arrays of [kvHeads, tokens, headSize], little-endian. */
  cache: z.object({ elementType: z.string(), arrays: positive, kvHeads: positive, headSize: positive }),
  blob: blobSchema,
  /** Milliseconds that computing it took: what fetching it has to beat. */
  computeMs: z.number().min(0),
  createdAt: z.iso.datetime(),
  /** Of the Foldgate that made it. */
  version: z.string(),
});

/** What there is to know of a stored prefix without its keys and values. */
export type PrefixEntry = z.infer<typeof entrySchema>;

/** An entry and the name it has in the store. */
export interface NamedPrefix extends PrefixEntry {
  name: string;
}

/** @throws InvalidDataError */
export function parseEntry(bytes: Uint8Array, where: string): PrefixEntry {
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (cause) {
    throw new InvalidDataError(`${where} is no JSON. Remove the prefix and add it again.`, { cause });
  }
  const result = entrySchema.safeParse(json);
  if (result.success) return result.data;
  throw new InvalidDataError(
    `${where} is no entry of a prefix that this Foldgate reads (schema version ${prefixSchemaVersion}). Remove the ` +
      `prefix and add it again:\n${z.prettifyError(result.error)}`,
  );
}

export function formatEntry(entry: PrefixEntry): Uint8Array {
  return new TextEncoder().encode(`${JSON.stringify(entry)}\n`);
}

/** Whether a cache of this form can begin with the prefix. */
export function isOfForm(entry: Pick<PrefixEntry, 'cache'>, form: CacheForm): boolean {
  return isDeepStrictEqual(entry.cache, form);
}

/** @throws UsageError */
export function checkPrefixName(name: string): void {
  if (modelNamePattern.test(name)) return;
  throw new UsageError(
    `${JSON.stringify(name)} is no name of a prefix. Expected 1 to 128 letters, digits, ".", "_" and "-", the first ` +
      'a letter or digit.',
  );
}
