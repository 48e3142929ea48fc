import { InvalidDataError } from '../../../../artifact/errors.ts';
import type { Metadata } from '../metadata.ts';
import { addedTokens } from './added-tokens.ts';
import type { TokenizerParts } from './build.ts';
import { preTokenizerOf } from './pre-tokenizers.ts';
import type { Vocabulary } from './vocabulary.ts';

/** Byte-level BPE with merges in the file (`tokenizer.ggml.model` gpt2): GPT-2, Llama 3, Qwen, SmolLM. */
export function byteLevelParts(metadata: Metadata, vocabulary: Vocabulary, where: string): TokenizerParts {
  const merges = metadata.strings('tokenizer.ggml.merges');
  if (!merges) throw new InvalidDataError(`${where} lacks tokenizer.ggml.merges. Convert the model again.`);
  const pre = preTokenizerOf(metadata.string('tokenizer.ggml.pre') ?? 'default', where);
  return {
    added_tokens: addedTokens(vocabulary),
    normalizer: pre.normalizer === undefined ? null : { type: pre.normalizer },
    pre_tokenizer: {
      type: 'Sequence',
      pretokenizers: [
        ...pre.splits.map((Regex) => ({
          type: 'Split',
          pattern: { Regex },
          behavior: 'Isolated',
          invert: false,
        })),
        { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false },
      ],
    },
    decoder: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true },
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: '',
      end_of_word_suffix: '',
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: pre.ignoreMerges,
      vocab: Object.fromEntries(vocabulary.idOf),
      merges: merges.map((merge) => splitMerge(merge, where)),
    },
    addBos: pre.addBos,
  };
}

/** "left right": neither has a space, which the byte alphabet writes as Ġ. */
function splitMerge(merge: string, where: string): [string, string] {
  const space = merge.indexOf(' ', 1);
  if (space > 0 && space < merge.length - 1) return [merge.slice(0, space), merge.slice(space + 1)];
  throw new InvalidDataError(
    `${where}: the merge ${JSON.stringify(merge)} is not two pieces with a space between.`,
  );
}
