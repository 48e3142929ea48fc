import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Tokenizer as HubTokenizer } from '@huggingface/tokenizers';
import { describe, expect, it } from 'vitest';
import { InvalidDataError } from '../../../../artifact/errors.ts';
import { parseTokenizer } from '../../../../artifact/tokenizer.ts';
import type { GgufValue } from '../../../../compressor/checkpoint/gguf/header.ts';
import { Metadata } from '../../../../compressor/checkpoint/gguf/metadata.ts';
import { tokenizerFiles } from '../../../../compressor/checkpoint/gguf/tokenizer/build.ts';
import { tokensOf } from '../../../../compressor/checkpoint/gguf/tokenizer/tokens.ts';
import { picoPath } from '../../../fixtures/pico.ts';

interface Goldens {
  byteLevel: { pre: string; texts: string[]; ids: number[][]; words: string[][] }[];
  sentencePiece: {
    pieces: string[];
    types: number[];
    scores: number[];
    texts: string[];
    withPrefix: number[][];
    withoutPrefix: number[][];
  };
}
const goldens: Goldens = JSON.parse(await readFile(new URL('tokenizers.json', import.meta.url), 'utf8'));
const pico = JSON.parse(await readFile(join(picoPath('llama'), 'tokenizer.json'), 'utf8'));
const picoPieces = Object.keys(pico.model.vocab).sort((a, b) => pico.model.vocab[a] - pico.model.vocab[b]);

type Values = Record<string, GgufValue | undefined>;
function metadataOf(values: Values): Metadata {
  const entries = Object.entries(values).filter(([, value]) => value !== undefined);
  return new Metadata(new Map(entries.map(([key, value]) => [`tokenizer.${key}`, value!])), 'x.gguf');
}
function tokenizerOf(values: Values) {
  return parseTokenizer(tokenizerFiles(metadataOf(values), 'x.gguf'), 'x.gguf');
}

const byteLevel: Values = {
  'ggml.model': 'gpt2',
  'ggml.pre': 'gpt-2',
  'ggml.tokens': picoPieces,
  'ggml.token_type': Float64Array.from(picoPieces, (_, id) => (id < 4 ? 3 : 1)),
  'ggml.merges': pico.model.merges.map((merge: string[]) => merge.join(' ')),
  'ggml.bos_token_id': 0,
  'ggml.eos_token_id': 2,
};
const { pieces, types, scores } = goldens.sentencePiece;
const sentencePiece: Values = {
  'ggml.model': 'llama',
  'ggml.tokens': pieces,
  'ggml.token_type': Float64Array.from(types),
  'ggml.scores': Float64Array.from(scores),
  'ggml.bos_token_id': 1,
  'ggml.eos_token_id': 2,
  'ggml.unknown_token_id': 0,
};

describe('byte-level BPE', () => {
  it.each(goldens.byteLevel)('cuts and joins as the $pre tokenizer does', ({ pre, texts, ids }) => {
    const tokenizer = tokenizerOf({ ...byteLevel, 'ggml.pre': pre });
    for (const [i, text] of texts.entries()) {
      expect(tokenizer.encode(text, { addSpecialTokens: false }), JSON.stringify(text)).toEqual(ids[i]);
    }
  });

  it.each(goldens.byteLevel)('cuts words as the $pre tokenizer does', ({ pre, texts, words }) => {
    const files = tokenizerFiles(metadataOf({ ...byteLevel, 'ggml.pre': pre }), 'x.gguf');
    const hub = new HubTokenizer(JSON.parse(new TextDecoder().decode(files['tokenizer.json'])), {});
    for (const [i, text] of texts.entries()) {
      expect(hub.pre_tokenizer!(text), JSON.stringify(text)).toEqual(words[i]);
    }
  });

  it('is cut in different ways by different tokenizers, so that the goldens tell them apart', () => {
    const ways = goldens.byteLevel
      .filter(({ pre }) => pre !== 'default')
      .map(({ words }) => JSON.stringify(words));
    expect(new Set(ways).size).toBe(ways.length);
  });

  it('takes a missing pre-tokenizer for GPT-2 and refuses an unknown one', () => {
    expect(tokenizerOf({ ...byteLevel, 'ggml.pre': undefined }).encode('a 1')).toEqual(
      tokenizerOf(byteLevel).encode('a 1'),
    );
    expect(() => tokenizerOf({ ...byteLevel, 'ggml.pre': 'viking' })).toThrow(
      /"viking"\. Foldgate knows default, gpt-2/,
    );
  });

  it('begins texts with bos where the file, or its kind, says so', () => {
    const idsOf = (values: Values) => tokenizerOf({ ...byteLevel, ...values }).encode('a');
    const [a] = idsOf({});
    expect(idsOf({})).toEqual([a]);
    expect(idsOf({ 'ggml.add_bos_token': true })).toEqual([0, a]);
    expect(idsOf({ 'ggml.pre': 'llama-bpe' })).toEqual([0, a]);
    expect(idsOf({ 'ggml.pre': 'llama-bpe', 'ggml.add_bos_token': false })).toEqual([a]);
    expect(idsOf({ 'ggml.add_eos_token': true, 'ggml.add_bos_token': true })).toEqual([0, a, 2]);
  });
});

describe('SentencePiece BPE', () => {
  it.each([
    ['withPrefix', undefined],
    ['withPrefix', true],
    ['withoutPrefix', false],
  ] as const)('joins by score, %s (add_space_prefix %s)', (form, prefix) => {
    const tokenizer = tokenizerOf({ ...sentencePiece, 'ggml.add_space_prefix': prefix });
    for (const [i, text] of goldens.sentencePiece.texts.entries()) {
      expect(tokenizer.encode(text, { addSpecialTokens: false }), JSON.stringify(text)).toEqual(
        goldens.sentencePiece[form][i],
      );
    }
  });

  it('begins texts with bos unless the file says otherwise', () => {
    expect(tokenizerOf(sentencePiece).encode('the')[0]).toBe(1);
    expect(tokenizerOf({ ...sentencePiece, 'ggml.add_bos_token': false }).encode('the')[0]).not.toBe(1);
  });

  it('spells runs of spaces with marks, and names its special tokens', () => {
    const tokenizer = tokenizerOf(sentencePiece);
    expect(tokenizer.tokenOf(pieces.indexOf('  '))).toBe('▁▁');
    expect(tokenizer.namedTokens).toMatchObject({ bos_token: '<s>', eos_token: '</s>', unk_token: '<unk>' });
    expect(tokenizer.addedKind(1)).toBe('special');
    expect(tokenizer.addedKind(pieces.indexOf('<tag>'))).toBe('text');
  });

  it('derives half a million merges of 262,144 pieces within seconds', () => {
    // Every word of two letters joined with every other: as many pieces as Gemma's, all of which can be cut.
    const letters = [...'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ'];
    const pairs = letters.flatMap((a) => letters.map((b) => a + b));
    const words = pairs.flatMap((a) => pairs.map((b) => a + b));
    const many = [...letters, ...pairs, ...words].slice(0, 262_144);
    const start = performance.now();
    const files = tokenizerFiles(
      metadataOf({
        'ggml.model': 'llama',
        'ggml.tokens': many,
        'ggml.scores': Float64Array.from(many, (_, id) => -id),
      }),
      'x.gguf',
    );
    expect(performance.now() - start).toBeLessThan(20_000); // 1 to 2 s where the machine is idle
    expect(JSON.parse(new TextDecoder().decode(files['tokenizer.json'])).model.merges).toHaveLength(
      many.length - letters.length,
    );
  });
});

describe('a vocabulary is refused', () => {
  it.each<[why: string, values: Values, message: RegExp]>([
    ['of another kind', { ...byteLevel, 'ggml.model': 'bert' }, /the tokenizer "bert"\. Foldgate reads gpt2/],
    ['that is missing', { ...byteLevel, 'ggml.tokens': undefined }, /has no vocabulary/],
    ['that is empty', { ...byteLevel, 'ggml.tokens': [] }, /has no vocabulary/],
    ['of numbers', { ...byteLevel, 'ggml.tokens': new Float64Array(3) }, /Expected an array of strings/],
    [
      'with too few types',
      { ...byteLevel, 'ggml.token_type': new Float64Array(3) },
      /288 pieces and 3 token types/,
    ],
    ['without merges', { ...byteLevel, 'ggml.merges': undefined }, /lacks tokenizer\.ggml\.merges/],
    ['with a merge of one piece', { ...byteLevel, 'ggml.merges': ['ab'] }, /merge "ab" is not two pieces/],
    ['without scores', { ...sentencePiece, 'ggml.scores': undefined }, /no scores/],
    ['with too few scores', { ...sentencePiece, 'ggml.scores': new Float64Array(2) }, /and 2 scores/],
    ['with a bos that is no id', { ...byteLevel, 'ggml.bos_token_id': 1.5 }, /bos_token_id is 1\.5/],
    [
      'with a flag that is a text',
      { ...byteLevel, 'ggml.add_bos_token': 'yes' },
      /is "yes"\. Expected true or false/,
    ],
  ])('%s', (_, values, message) => {
    expect(() => tokenizerOf(values)).toThrow(InvalidDataError);
    expect(() => tokenizerOf(values)).toThrow(message);
  });
});

describe('the ends of texts', () => {
  const tokens = (values: Values) => tokensOf(metadataOf(values), 'x.gguf');

  it('are every token that means one, where it is a control token', () => {
    const marks = ['<|endoftext|>', '<|im_end|>', '<|eot_id|>', '<end_of_turn>', 'word'];
    const values = { 'ggml.tokens': marks, 'ggml.token_type': Float64Array.of(3, 3, 1, 3, 1) };
    expect(tokens({ ...values, 'ggml.eos_token_id': 1 }).eos).toEqual([1, 0, 3]);
    expect(tokens({ ...values, 'ggml.eot_token_id': 4 }).eos).toEqual([4, 0, 1, 3]);
  });

  it('are no ids beyond the vocabulary', () => {
    const values = { 'ggml.tokens': ['a', 'b'], 'ggml.eos_token_id': 2 ** 32 - 1, 'ggml.bos_token_id': 2 };
    expect(tokens(values)).toMatchObject({ eos: [], bos: undefined });
  });
});
