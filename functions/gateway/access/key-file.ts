import { z } from 'zod';
import { InvalidDataError } from '../../../artifact/errors.ts';
import { hashKey, type KeyEntry } from './api-keys.ts';

const perMinute = z.int().min(1).optional();

const entrySchema = z.strictObject({
  name: z
    .string()
    .max(64)
    .regex(/^[^\s](.*[^\s])?$/, 'should be one line of text'),
  /** Of the key. */
  hash: z.string().regex(/^sha256:[0-9a-f]{64}$/, 'should be "sha256:" and 64 hex digits'),
  created: z.iso.datetime().optional(),
  requestsPerMinute: perMinute,
  tokensPerMinute: perMinute,
});

const fileSchema = z.strictObject({ keys: z.array(entrySchema) });

export type StoredKey = z.infer<typeof entrySchema>;

/**
 * A file of keys: the JSON that `foldgate keys` writes, or one key a line, as llama.cpp's server takes them (empty
 * lines and those that begin with # do not count).
 * @throws InvalidDataError that shows no line of the file
 */
export function parseKeyFile(text: string, where: string): StoredKey[] {
  if (!text.trimStart().startsWith('{')) return plainKeys(text.split('\n'));
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    // The parser's own message shows what is there.
    throw new InvalidDataError(`${where} is no JSON. Restore it, or make new keys with "foldgate keys add".`);
  }
  const { success, data, error } = fileSchema.safeParse(json);
  if (!success) throw new InvalidDataError(`${where} is no file of keys:\n${z.prettifyError(error)}`);
  const twice = data.keys.find(({ name }, place) => data.keys.findIndex((key) => key.name === name) < place);
  if (twice) throw new InvalidDataError(`${where} has two keys named ${JSON.stringify(twice.name)}.`);
  return data.keys;
}

export function formatKeyFile(keys: readonly StoredKey[]): string {
  return `${JSON.stringify({ keys }, undefined, 2)}\n`;
}

/** Keys without names of their own. They have limits and caches of their own all the same. */
export function plainKeys(lines: readonly string[]): (KeyEntry & { hash: string })[] {
  const keys = lines.map((line) => line.trim()).filter((line) => line !== '' && !line.startsWith('#'));
  return [...new Set(keys)].map((key) => {
    const hash = hashKey(key);
    return { name: `key-${hash.slice('sha256:'.length, 'sha256:'.length + 8)}`, hash };
  });
}
