import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { InvalidDataError, NotFoundError, UsageError } from '../../../artifact/errors.ts';
import { parseTokenizer, type Tokenizer } from '../../../artifact/tokenizer.ts';
import { openCheckpoint } from '../../../compressor/checkpoint/open.ts';
import { readDocuments } from '../../../compressor/train/data/documents.ts';
import { DocumentEncoder } from '../../../compressor/train/data/encoder.ts';
import { digestOfAll, shuffle, splitDocuments } from '../../../compressor/train/data/order.ts';
import { PackedSequences } from '../../../compressor/train/data/packed.ts';
import { picoPath } from '../../fixtures/pico.ts';
import { temporaryFolder } from '../../fixtures/temporary-folder.ts';

const bos = 1;
const eos = 2;

/** A letter a token, its character code. */
function letters({ beginning = [bos], end = [] as number[] } = {}): Tokenizer {
  return {
    size: 256,
    encode(text, { addSpecialTokens = true } = {}) {
      const ids = [...text].map((letter) => letter.charCodeAt(0));
      return addSpecialTokens ? [...beginning, ...ids, ...end] : ids;
    },
    tokenOf: () => undefined,
    idOf: () => undefined,
    addedKind: () => undefined,
    decoder: null,
    namedTokens: {},
  };
}

const template =
  "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}{% endfor %}{% if add_generation_prompt %}?{% endif %}";

function encoder(tokenizer = letters(), chatTemplate: string | undefined = template) {
  return new DocumentEncoder(tokenizer, { eos: [eos], chatTemplate });
}

async function file(name: string, content: string | Uint8Array): Promise<string> {
  const path = join(await temporaryFolder(), name);
  await writeFile(path, content);
  return path;
}

const contents = async (...paths: string[]) => (await readDocuments(paths)).map(({ content }) => content);
const documents = (texts: string[]) => texts.map((text) => ({ content: text, digest: text }));
const text = (ids: ArrayLike<number>) =>
  Array.from(ids, (id) => (id < 3 ? '^$'[id - 1] : String.fromCharCode(id))).join('');

describe('documents', () => {
  it('of a text file stand between <|endoftext|>', async () => {
    const path = await file(
      'a.txt',
      'one\n\nstill one\n<|endoftext|>\ntwo<|endoftext|>\n\n<|endoftext|>three\n',
    );
    expect(await contents(path)).toEqual(['one\n\nstill one', 'two', 'three']);
  });

  it('of a text without them end at blank lines, and lose nothing', async () => {
    const paragraphs = Array.from({ length: 40 }, (_, i) => `${i} `.repeat(150).trim());
    const cut = (await contents(await file('a.txt', paragraphs.join('\n \n')))) as string[];
    expect(cut.length).toBeGreaterThan(2);
    expect(cut.slice(0, -1).every(({ length }) => length >= 4096 && length < 5000)).toBe(true);
    expect(cut.flatMap((document) => document.split('\n \n'))).toEqual(paragraphs);
  });

  it('of a JSONL file are lines, and equal ones count once', async () => {
    const messages = [{ role: 'user', content: 'hi' }];
    const lines = [{ text: 'a' }, { messages }, { text: 'a', id: 7 }, { text: ' ' }].map((line) =>
      JSON.stringify(line),
    );
    const path = await file('a.jsonl', `${lines.join('\n\n')}\r\n`);
    expect(await contents(path, await file('b.txt', 'a'))).toEqual(['a', messages]);
  });

  it.each([
    ['a.jsonl', '{"text": "a"}\n{"text": 3}', InvalidDataError, /a\.jsonl, line 2: not of the form/],
    ['a.jsonl', '{"text": "a"}\n{', InvalidDataError, /line 2: no JSON/],
    ['a.jsonl', '{"messages": []}', InvalidDataError, /line 1/],
    ['a.txt', Uint8Array.of(0x1f, 0x8b, 0xff), InvalidDataError, /no UTF-8/],
    ['a.txt', ' \n', UsageError, /no text/],
  ])('are refused in %s: %j', async (name, content, kind, message) => {
    const path = await file(name, content);
    await expect(readDocuments([path])).rejects.toThrow(message);
    await expect(readDocuments([path])).rejects.toBeInstanceOf(kind);
  });

  it('must be there', async () => {
    await expect(readDocuments(['/nowhere.txt'])).rejects.toBeInstanceOf(NotFoundError);
  });
});

describe('the split', () => {
  const all = documents(Array.from({ length: 200 }, (_, i) => `document ${i}`));

  it('holds out a share, the same from any order, and parts the rest from it', () => {
    const { training, heldOut } = splitDocuments(all, 0.05);
    expect([training.length, heldOut.length]).toEqual([190, 10]);
    expect(new Set([...training, ...heldOut])).toEqual(new Set(all));
    expect(new Set(splitDocuments(all.toReversed(), 0.05).heldOut)).toEqual(new Set(heldOut));
    expect(digestOfAll(all.toReversed())).toBe(digestOfAll(all));
    expect(digestOfAll(all.slice(1))).not.toBe(digestOfAll(all));
  });

  it('leaves one document at least on each side', () => {
    expect(splitDocuments(all.slice(0, 2), 0).heldOut).toHaveLength(1);
    expect(splitDocuments(all.slice(0, 2), 1).training).toHaveLength(1);
    expect(() => splitDocuments(all.slice(0, 1), 0.1)).toThrow(UsageError);
  });

  it('is shuffled by seed and pass, without losing any', () => {
    const orders = [shuffle(all, 1, 0), shuffle(all, 1, 1), shuffle(all, 2, 0)];
    for (const order of orders) expect(new Set(order)).toEqual(new Set(all));
    expect(new Set(orders.map((order) => order.map(({ content }) => content).join())).size).toBe(3);
    expect(shuffle(all.toReversed(), 1, 0)).toEqual(orders[0]);
    // Hardly any document is where it was: 200 shuffled things leave one in place on average.
    expect(orders[0]!.filter((document, i) => document === all[i]).length).toBeLessThan(8);
  });
});

describe('the encoder', () => {
  it('puts around a text what the tokenizer puts there, or else an end after it', () => {
    expect(text(encoder().encode({ content: 'ab' }))).toBe('^ab');
    expect(text(encoder(letters({ end: [eos] })).encode({ content: 'ab' }))).toBe('^ab$');
    expect(text(encoder(letters({ beginning: [] })).encode({ content: 'ab' }))).toBe('ab$');
    expect(encoder(letters({ end: [eos] })).beginning).toEqual([bos]);
  });

  it('writes conversations as the chat template does, to their end', () => {
    const content = [
      { role: 'user', content: 'hi' },
      { role: 'assistant', content: 'ho' },
    ];
    expect(text(encoder().encode({ content }))).toBe('<user>hi<assistant>ho');
    const none = new DocumentEncoder(letters(), { eos: [], chatTemplate: undefined });
    expect(() => none.encode({ content })).toThrow(/no chat template/);
    const strict = encoder(letters(), "{{ raise_exception('no system') }}");
    expect(() => strict.encode({ content })).toThrow(/begins "hi": no system/);
  });
});

describe('the encoder of a checkpoint', () => {
  it('reads its tokenizer and chat template', async () => {
    const checkpoint = await openCheckpoint(picoPath('llama'));
    try {
      const real = await DocumentEncoder.open(checkpoint);
      const tokenizer = parseTokenizer(await checkpoint.tokenizerFiles(), 'pico');
      const content = [
        { role: 'user', content: 'a bird' },
        { role: 'assistant', content: 'a girl' },
      ];
      const [start, end] = ['<|im_start|>', '<|im_end|>'].map((token) => tokenizer.idOf(token));
      const ids = real.encode({ content });
      expect(ids.filter((id) => id === start || id === end)).toEqual([start, end, start, end]);
      const written = ids.map((id) => tokenizer.tokenOf(id)).join('');
      expect(written.replaceAll('Ġ', ' ').replaceAll('Ċ', '\n')).toBe(
        '<|im_start|>user\na bird<|im_end|>\n<|im_start|>assistant\na girl<|im_end|>\n',
      );
      expect(real.encode({ content: 'a bird' }).slice(0, real.beginning.length)).toEqual(real.beginning);
    } finally {
      await checkpoint.close();
    }
  });
});

describe('packed sequences', () => {
  const texts = ['abcdef', 'ghi', 'klmnopqrstuv', 'w'];
  const stream = (options: Partial<ConstructorParameters<typeof PackedSequences>[2]> = {}) =>
    new PackedSequences(documents(texts), encoder(), { seed: 3, length: 5, ...options });
  const ordered = (pass: number) => shuffle(documents(texts), 3, pass).map(({ content }) => `^${content}`);

  it('hold every token of a pass once, each sequence with a beginning', () => {
    const { tokens, targets } = stream().next(6);
    const sequences = Array.from({ length: 6 }, (_, i) => text(tokens.subarray(i * 5, i * 5 + 5)));
    expect(sequences.every((sequence) => sequence.startsWith('^'))).toBe(true);
    // Taking the added beginnings out again gives the documents; their own are told from them by what came before.
    const passes = [0, 1].flatMap((pass) => ordered(pass)).join('');
    let read = '';
    for (const sequence of sequences)
      read += passes.startsWith(read + sequence) ? sequence : sequence.slice(1);
    expect(passes.startsWith(read)).toBe(true);
    expect(read.length).toBeGreaterThan(22);
    // A target is the next token, across the sequence's end too.
    for (let i = 0; i < 6; i++) {
      expect(targets.subarray(i * 5, i * 5 + 4)).toEqual(tokens.subarray(i * 5 + 1, i * 5 + 5));
    }
    let at = 0;
    for (const [i, sequence] of sequences.entries()) {
      at += passes.startsWith(sequence, at) ? 5 : 4;
      expect(text([targets[i * 5 + 4]!])).toBe(passes[at]);
    }
  });

  it('go on from a position as if never interrupted, in whatever batches', () => {
    const whole = stream().next(12).tokens;
    const first = stream();
    const head = first.next(5).tokens;
    const resumed = stream({ position: JSON.parse(JSON.stringify(first.position)) });
    const rest = [...resumed.next(3).tokens, ...resumed.next(4).tokens];
    expect([...head, ...rest]).toEqual([...whole]);
  });

  it('read another order in the next pass and with another seed', () => {
    expect(stream({ seed: 4 }).next(4).tokens).not.toEqual(stream().next(4).tokens);
    expect(ordered(0)).not.toEqual(ordered(1));
  });

  it('do not wait for ever for a text without tokens', () => {
    const nothing: Tokenizer = { ...letters({ beginning: [] }), encode: () => [] };
    const deaf = new DocumentEncoder(nothing, { eos: [], chatTemplate: undefined });
    const packed = new PackedSequences(documents(['a', 'b']), deaf, { seed: 1, length: 4 });
    expect(() => packed.next(1)).toThrow(UsageError);
  });
});
