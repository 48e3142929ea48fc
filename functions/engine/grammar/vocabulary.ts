/** What grammars know of a tokenizer. Packed, so that it passes to a thread without a copy. */
export interface Vocabulary {
  /** Every token's bytes, one after the other. Control tokens that have none are allowed by no grammar. */
  bytes: Uint8Array;
  /** [tokens + 1] where each begins in `bytes`, and where the last one ends. */
  offsets: Uint32Array;
  /** They end a text: allowed where a grammar may end. */
  stopTokens: number[];
}

/** Each token's bytes, views of the packed ones. */
export function piecesOf({ bytes, offsets }: Vocabulary): Uint8Array[] {
  return Array.from({ length: offsets.length - 1 }, (_, id) => bytes.subarray(offsets[id], offsets[id + 1]));
}
