import type { Tokenizer } from '../../artifact/tokenizer.ts';
import { Detokenizer } from './detokenizer.ts';
import type { TokenPieces } from './pieces.ts';

/** A tokenizer and what its tokens add to a text. */
interface Vocabulary {
  tokenizer: Tokenizer;
  pieces: TokenPieces;
}

/** A token's own text, control tokens as they are spelled; bytes where it holds a part of a character. */
export function spellToken({ tokenizer, pieces }: Vocabulary, id: number): string | Uint8Array {
  return tokenizer.addedKind(id) === 'special' ? (tokenizer.tokenOf(id) ?? '') : pieces.of(id);
}

/** The text of tokens with the control tokens in it, so that tokenizing it again gives the same ones. */
export function spellTokens(vocabulary: Vocabulary, tokens: readonly number[]): string {
  const { tokenizer, pieces } = vocabulary;
  const detokenizer = new Detokenizer(pieces, { continues: false });
  let text = '';
  for (const id of tokens) {
    if (tokenizer.addedKind(id) === 'special') text += detokenizer.end() + (tokenizer.tokenOf(id) ?? '');
    else text += detokenizer.push([id]);
  }
  return text + detokenizer.end();
}

/** Pieces that show control tokens as they are spelled. */
export function spelledPieces(vocabulary: Vocabulary): TokenPieces {
  const { leadingSpaces } = vocabulary.pieces;
  return { leadingSpaces, of: (id) => spellToken(vocabulary, id) };
}
