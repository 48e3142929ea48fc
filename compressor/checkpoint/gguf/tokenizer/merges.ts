import { kinds, type Vocabulary } from './vocabulary.ts';

/**
 * SentencePiece joins whichever neighbours make the piece with the highest score; BPE in tokenizer.json joins the pair
 * of lowest rank. So: every way to cut a piece into two pieces, by the score of the whole. Pieces
 * that the makers defined (runs of spaces) come first, in their order.
 * @param scores one for each piece
 */
export function mergesByScore(vocabulary: Vocabulary, scores: Float64Array): [string, string][] {
  const { pieces, kinds: kindOf, idOf } = vocabulary;
  const order: number[] = [];
  for (let id = 0; id < pieces.length; id++) {
    if (kindOf[id] === kinds.normal || kindOf[id] === kinds.userDefined) order.push(id);
  }
  const first = (id: number) => (kindOf[id] === kinds.userDefined ? 0 : 1);
  order.sort((a, b) => first(a) - first(b) || (first(a) === 0 ? a - b : scores[b]! - scores[a]!) || a - b);

  const merges: [string, string][] = [];
  for (const id of order) {
    const piece = pieces[id]!;
    // The longest left part first, as transformers ranks the ways to make one piece.
    for (let cut = piece.length - 1; cut > 0; cut--) {
      if (isLowSurrogate(piece.charCodeAt(cut))) continue; // inside a character
      const left = piece.slice(0, cut);
      if (!idOf.has(left)) continue;
      const right = piece.slice(cut);
      if (idOf.has(right)) merges.push([left, right]);
    }
  }
  return merges;
}

const isLowSurrogate = (code: number) => code >= 0xdc00 && code <= 0xdfff;
