import { InvalidDataError } from '../../../../artifact/errors.ts';
import type { Metadata } from '../metadata.ts';
import { addedTokens } from './added-tokens.ts';
import type { TokenizerParts } from './build.ts';
import { mergesByScore } from './merges.ts';
import { idsOf, kinds, specialId, type Vocabulary } from './vocabulary.ts';

/** SentencePiece's mark for a space. */
const space = '▁';

/** SentencePiece BPE with scores and bytes for what is no piece (`tokenizer.ggml.model` llama): Llama 2, Mistral, Gemma. */
export function sentencePieceParts(metadata: Metadata, given: Vocabulary, where: string): TokenizerParts {
  const scores = metadata.numbers('tokenizer.ggml.scores');
  if (scores?.length !== given.pieces.length) {
    throw new InvalidDataError(
      `${where} has ${given.pieces.length} pieces and ${scores?.length ?? 'no'} scores (tokenizer.ggml.scores). Convert the model again.`,
    );
  }
  const vocabulary = respellSpaces(given);
  const prefix = metadata.boolean('tokenizer.ggml.add_space_prefix') ?? true;
  const unknown = specialId(metadata, 'unknown', vocabulary) ?? vocabulary.kinds.indexOf(kinds.unknown);
  const replaceSpaces = { type: 'Replace', pattern: { String: ' ' }, content: space };
  const decoders: object[] = [
    { type: 'Replace', pattern: { String: space }, content: ' ' },
    { type: 'ByteFallback' },
    { type: 'Fuse' },
  ];
  if (prefix) decoders.push({ type: 'Strip', content: ' ', start: 1, stop: 0 });
  return {
    // Runs of spaces are found by merges: the normalizer has made them marks before an added token could match.
    added_tokens: addedTokens(vocabulary).filter(({ content }) => !isSpaces(content)),
    normalizer: prefix
      ? { type: 'Sequence', normalizers: [{ type: 'Prepend', prepend: space }, replaceSpaces] }
      : replaceSpaces,
    pre_tokenizer: null,
    decoder: { type: 'Sequence', decoders },
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: vocabulary.pieces[unknown] ?? null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: true,
      byte_fallback: true,
      ignore_merges: false,
      vocab: Object.fromEntries(vocabulary.idOf),
      merges: mergesByScore(vocabulary, scores),
    },
    addBos: true,
  };
}

/** llama.cpp writes runs of spaces that are pieces as spaces; the normalized text has marks. */
function respellSpaces(vocabulary: Vocabulary): Vocabulary {
  const pieces = vocabulary.pieces.map((piece, id) =>
    vocabulary.kinds[id] === kinds.userDefined && / /.test(piece) && isSpaces(piece)
      ? space.repeat(piece.length)
      : piece,
  );
  return { ...vocabulary, pieces, idOf: idsOf(pieces) };
}

const isSpaces = (piece: string) => /^[ ▁]+$/.test(piece);
