import { setImmediate as nextEvents } from 'node:timers/promises';
import type { Manifest } from '../../artifact/manifest.ts';
import type { Tokenizer } from '../../artifact/tokenizer.ts';
import type { Vocabulary } from '../engine/grammar/vocabulary.ts';
import { tokenPieces } from '../text/pieces.ts';
import { isSpelledWith, toolFormatOf } from './tools/formats.ts';

/** Tokens that are written in one go: some milliseconds. */
const tokensATurn = 4096;

/** What each token of the model's table adds to a text, for grammars. */
export async function vocabularyOf(
  tokenizer: Tokenizer,
  { dimensions, tokens }: Pick<Manifest, 'dimensions' | 'tokens'>,
): Promise<Vocabulary> {
  const size = dimensions.vocabularySize; // the tokenizer's, and padding
  const pieces = tokenPieces(tokenizer); // its own: the server's would keep every token's text from now on
  const offsets = new Uint32Array(size + 1);
  const chunks: Uint8Array[] = [];
  const format = toolFormatOf(tokens.chatTemplate ?? '');
  for (let id = 0; id < size; id++) {
    const token = tokenizer.addedKind(id) === 'special' ? tokenizer.tokenOf(id) : undefined;
    // A control token that begins or ends a call is one of those that a grammar of calls has to allow.
    const piece = token !== undefined && format && isSpelledWith(format, token) ? token : pieces.of(id);
    const chunk = typeof piece === 'string' ? Buffer.from(piece) : piece;
    chunks.push(chunk);
    offsets[id + 1] = offsets[id]! + chunk.length;
    if (id % tokensATurn === 0) await nextEvents();
  }
  const bytes = new Uint8Array(offsets[size]!);
  for (const [id, chunk] of chunks.entries()) bytes.set(chunk, offsets[id]);
  return { bytes, offsets, stopTokens: tokens.eos };
}
