import { InvalidDataError } from '../../../../artifact/errors.ts';
import type { Checkpoint } from '../../checkpoint.ts';
import type { Metadata } from '../metadata.ts';
import { byteLevelParts } from './byte-level.ts';
import { sentencePieceParts } from './sentencepiece.ts';
import { specialId, type Vocabulary, vocabularyOf } from './vocabulary.ts';

/** What the kinds of tokenizer differ in, as fields of tokenizer.json. */
export interface TokenizerParts {
  added_tokens: AddedToken[];
  normalizer: object | null;
  pre_tokenizer: object | null;
  decoder: object;
  model: object;
  /** Whether texts begin with the bos token where the file does not say. */
  addBos: boolean;
}

export interface AddedToken {
  id: number;
  content: string;
  special: boolean;
}

/** tokenizer.json and tokenizer_config.json from a GGUF header's vocabulary. */
export function tokenizerFiles(
  metadata: Metadata,
  where: string,
): Awaited<ReturnType<Checkpoint['tokenizerFiles']>> {
  const vocabulary = vocabularyOf(metadata, where);
  const parts = partsOf(metadata, vocabulary, where);
  const named = namedTokens(metadata, vocabulary);
  const addBos = metadata.boolean('tokenizer.ggml.add_bos_token') ?? parts.addBos;
  const addEos = metadata.boolean('tokenizer.ggml.add_eos_token') ?? false;
  const tokenizer = {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: parts.added_tokens.map(({ id, content, special }) => ({
      id,
      content,
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
      special,
    })),
    normalizer: parts.normalizer,
    pre_tokenizer: parts.pre_tokenizer,
    post_processor: template(
      addBos ? named.bos_token : undefined,
      addEos ? named.eos_token : undefined,
      vocabulary,
    ),
    decoder: parts.decoder,
    model: parts.model,
  };
  const config = {
    tokenizer_class: 'PreTrainedTokenizerFast',
    ...named,
    add_bos_token: addBos,
    add_eos_token: addEos,
    clean_up_tokenization_spaces: false,
    chat_template: metadata.string('tokenizer.chat_template'),
  };
  const encode = (json: object) => new TextEncoder().encode(JSON.stringify(json));
  return { 'tokenizer.json': encode(tokenizer), 'tokenizer_config.json': encode(config) };
}

function partsOf(metadata: Metadata, vocabulary: Vocabulary, where: string): TokenizerParts {
  const model = metadata.string('tokenizer.ggml.model');
  switch (model) {
    case 'gpt2':
      return byteLevelParts(metadata, vocabulary, where);
    case 'llama':
      return sentencePieceParts(metadata, vocabulary, where);
    default:
      throw new InvalidDataError(
        `${where} has the tokenizer ${JSON.stringify(model)}. Foldgate reads gpt2 (byte-level BPE) and llama (SentencePiece BPE).`,
      );
  }
}

function namedTokens(metadata: Metadata, vocabulary: Vocabulary): Record<string, string> {
  const named: Record<string, string> = {};
  const names = { bos_token: 'bos', eos_token: 'eos', unk_token: 'unknown', pad_token: 'padding' };
  for (const [field, name] of Object.entries(names)) {
    const id = specialId(metadata, name, vocabulary);
    if (id !== undefined) named[field] = vocabulary.pieces[id]!;
  }
  return named;
}

/** Puts the given tokens around every text. */
function template(bos: string | undefined, eos: string | undefined, { idOf }: Vocabulary): object | null {
  if (bos === undefined && eos === undefined) return null;
  const around = (id: 'A' | 'B', type_id: number) => [
    ...(bos === undefined ? [] : [{ SpecialToken: { id: bos, type_id } }]),
    { Sequence: { id, type_id } },
    ...(eos === undefined ? [] : [{ SpecialToken: { id: eos, type_id } }]),
  ];
  const tokens = [bos, eos].filter((token) => token !== undefined);
  return {
    type: 'TemplateProcessing',
    single: around('A', 0),
    pair: [...around('A', 0), ...around('B', 1)],
    special_tokens: Object.fromEntries(tokens.map((id) => [id, { id, ids: [idOf.get(id)], tokens: [id] }])),
  };
}
