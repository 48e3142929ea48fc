import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseTokenizer } from '../../artifact/tokenizer.ts';
import { openCheckpoint } from '../../compressor/checkpoint/open.ts';
import { createEngine } from '../../functions/engine/create-engine.ts';
import { type Engine, type GenerationRequest, GrammarError } from '../../functions/engine/engine.ts';
import { vocabularyOf } from '../../functions/model/vocabulary.ts';
import { detokenize } from '../../functions/text/detokenizer.ts';
import { type TokenPieces, tokenPieces } from '../../functions/text/pieces.ts';
import { foldInto } from '../fixtures/fold-into.ts';
import { golden, picoPath } from '../fixtures/pico.ts';

const greedy = { temperature: 0, topP: 1, topK: 0, minP: 0 };

let folder: string;
let engine: Engine;
let prompt: number[];
let pieces: TokenPieces;
let eos: number[];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'foldgate-grammar-'));
  const checkpoint = await openCheckpoint(picoPath('llama'));
  const tokenizer = parseTokenizer(await checkpoint.tokenizerFiles(), 'pico');
  const folded = await foldInto(folder, checkpoint);
  await checkpoint.close();
  prompt = (await golden('llama')).tokens.slice(0, 20);
  pieces = tokenPieces(tokenizer);
  eos = folded.manifest.tokens.eos;
  const vocabulary = () => vocabularyOf(tokenizer, folded.manifest);
  engine = await createEngine({ ...folded, slots: 3, vocabulary });
});
afterAll(async () => {
  await engine[Symbol.asyncDispose]();
  await rm(folder, { recursive: true });
});

async function generate(changed: Partial<GenerationRequest> = {}) {
  const request: GenerationRequest = {
    prompt,
    maxTokens: 100,
    sampling: greedy,
    stopTokens: eos,
    delivery: 'each',
    ...changed,
  };
  const tokens: number[] = [];
  let finish: string | undefined;
  for await (const chunk of engine.generate(request)) {
    tokens.push(...chunk.tokens);
    finish = chunk.finish;
  }
  return { text: detokenize(pieces, tokens), tokens, finish };
}

describe('an engine with a grammar', () => {
  it('writes what the grammar allows and ends with it', async () => {
    const { text, finish } = await generate({ grammar: { ebnf: 'root ::= [a-c]{5} " - " [0-9]{3}' } });
    expect(text).toMatch(/^[a-c]{5} - [0-9]{3}$/);
    expect(finish).toBe('stop');
  });

  it('draws from what is allowed, by its seed', async () => {
    const draw = (seed: number) =>
      generate({ grammar: { ebnf: 'root ::= [a-z]{20}' }, sampling: { ...greedy, temperature: 1, seed } });
    const texts = await Promise.all([draw(1), draw(1), draw(2)]);
    for (const { text } of texts) expect(text).toMatch(/^[a-z]{20}$/);
    expect(texts[0]).toEqual(texts[1]);
    expect(texts[0]).not.toEqual(texts[2]);
  });

  it('is cut off by the token limit', async () => {
    const { tokens, finish } = await generate({ grammar: { ebnf: 'root ::= "a"+ "b"{200}' }, maxTokens: 7 });
    expect(tokens).toHaveLength(7);
    expect(finish).toBe('length');
  });

  it('serves others at the same time, whose text stays as it is', async () => {
    const alone = await generate({ maxTokens: 40 });
    const [beside, ...constrained] = await Promise.all([
      generate({ maxTokens: 40 }),
      generate({ grammar: { ebnf: 'root ::= [0-9]{30}' } }),
      generate({ grammar: { ebnf: 'root ::= "x" [ab]{10} "y"' } }),
      generate({ grammar: { ebnf: 'root ::= [0-9]{30}' } }),
    ]);
    expect(beside).toEqual(alone);
    expect(constrained[0]!.text).toMatch(/^[0-9]{30}$/);
    expect(constrained[1]!.text).toMatch(/^x[ab]{10}y$/);
    expect(constrained[2]).toEqual(constrained[0]);
  });

  it('refuses what is no grammar, and lives on', async () => {
    await expect(generate({ grammar: { ebnf: 'root ::= nothing' } })).rejects.toThrow(GrammarError);
    expect((await generate({ grammar: { ebnf: 'root ::= "abc"' } })).text).toBe('abc');
  });

  it('stops when its reader leaves', async () => {
    for await (const _ of engine.generate({
      prompt,
      maxTokens: 100,
      sampling: greedy,
      stopTokens: eos,
      delivery: 'each',
      grammar: { ebnf: 'root ::= [a-z]{90}' },
    }))
      break;
    expect((await generate({ grammar: { ebnf: 'root ::= "abc"' } })).text).toBe('abc');
  });
});
