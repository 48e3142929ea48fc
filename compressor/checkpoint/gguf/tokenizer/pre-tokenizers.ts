import { z } from 'zod';
import { InvalidDataError } from '../../../../artifact/errors.ts';
import json from './pre-tokenizers.json' with { type: 'json' };

const schema = z.record(
  z.string(),
  z.strictObject({
    /** What `tokenizer.ggml.pre` calls it. */
    names: z.array(z.string()).min(1),
    normalizer: z.literal('NFC').optional(),
    /** Regular expressions, one after the other; each match becomes a word of its own. */
    splits: z.array(z.string()).min(1),
    /** Words that are pieces need no merges. */
    ignoreMerges: z.boolean().default(false),
    addBos: z.boolean().default(false),
  }),
);
const preTokenizers = Object.values(schema.parse(json));

/** @throws InvalidDataError for an unknown name: merges on words cut otherwise give wrong tokens */
export function preTokenizerOf(name: string, where: string): (typeof preTokenizers)[number] {
  const found = preTokenizers.find(({ names }) => names.includes(name));
  if (found) return found;
  const known = preTokenizers.flatMap(({ names }) => names);
  throw new InvalidDataError(
    `${where} has the pre-tokenizer ${JSON.stringify(name)}. Foldgate knows ${known.join(', ')}.`,
  );
}
