import { InvalidDataError } from '../../../../artifact/errors.ts';
import type { Metadata } from '../metadata.ts';

/** What a piece is, by ggml's numbers. */
export const kinds = { normal: 1, unknown: 2, control: 3, userDefined: 4, unused: 5, byte: 6 } as const;

export interface Vocabulary {
  pieces: string[];
  /** One of `kinds` for each piece. */
  kinds: Float64Array;
  idOf: Map<string, number>;
}

/** @throws InvalidDataError where there is no vocabulary, or its arrays differ in length */
export function vocabularyOf(metadata: Metadata, where: string): Vocabulary {
  const pieces = metadata.strings('tokenizer.ggml.tokens');
  if (!pieces?.length)
    throw new InvalidDataError(
      `${where} has no vocabulary (tokenizer.ggml.tokens). Convert the model again.`,
    );
  const types =
    metadata.numbers('tokenizer.ggml.token_type') ?? new Float64Array(pieces.length).fill(kinds.normal);
  if (types.length !== pieces.length) {
    throw new InvalidDataError(`${where} has ${pieces.length} pieces and ${types.length} token types.`);
  }
  return { pieces, kinds: types, idOf: idsOf(pieces) };
}

/** The first of two equal pieces gets the name: the other can only be read, never written. */
export function idsOf(pieces: string[]): Map<string, number> {
  const ids = new Map<string, number>();
  for (const [id, piece] of pieces.entries()) if (!ids.has(piece)) ids.set(piece, id);
  return ids;
}

/** The id under a key such as `tokenizer.ggml.bos_token_id`, where it is one of the vocabulary. */
export function specialId(metadata: Metadata, name: string, { pieces }: Vocabulary): number | undefined {
  // Some converters write 2^32 - 1 for none.
  const id = metadata.integer(`tokenizer.ggml.${name}_token_id`, -1, 2 ** 32 - 1);
  return id !== undefined && id >= 0 && id < pieces.length ? id : undefined;
}
