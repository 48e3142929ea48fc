import { describe, expect, it, onTestFinished } from 'vitest';
import { GrammarError } from '../../../functions/engine/engine.ts';
import { Constraint } from '../../../functions/engine/grammar/constraint.ts';
import { Grammars, type OpenConstraint } from '../../../functions/engine/grammar/grammars.ts';
import {
  bytesOf,
  byteVocabulary,
  control,
  stop,
  textOf,
  vocabularySize,
} from '../../fixtures/byte-vocabulary.ts';

const maxTokens = 100;

function start(options: { compileDeadlineMs?: number } = {}) {
  const grammars = new Grammars(async () => byteVocabulary(), vocabularySize, options);
  onTestFinished(() => grammars[Symbol.dispose]());
  const open = async (ebnf: string, longest = false) =>
    follow(await grammars.open({ ebnf, longest }, maxTokens));
  return { grammars, open };
}

/** What an engine does with a constraint, with the test as the model. */
function follow(opened: OpenConstraint) {
  const constraint = new Constraint(opened.handle);
  return {
    opened,
    constraint,
    /** The tokens that may come next. */
    allowed() {
      const logits = new Float32Array(vocabularySize);
      constraint.process(logits);
      return [...logits.keys()].filter((token) => logits[token] === 0);
    },
    write(text: string) {
      for (const token of bytesOf(text)) {
        expect(this.allowed()).toContain(token);
        constraint.accept(token);
      }
    },
  };
}

const textsOf = (tokens: number[]) =>
  new Set(tokens.map((token) => (token === stop ? 'STOP' : textOf([token]))));

describe('a grammar', () => {
  it('allows the tokens that go on in it, and an end where it may end', async () => {
    const { open } = start();
    const sequence = await open('root ::= "ab" "c"? | "the"');
    expect(textsOf(sequence.allowed())).toEqual(new Set(['a', 'ab', 't', 'the']));
    sequence.write('ab');
    expect(textsOf(sequence.allowed())).toEqual(new Set(['c', 'STOP']));
    sequence.write('c');
    expect(sequence.allowed()).toEqual([stop]);
  });

  it('goes on as long as it can where that is asked for', async () => {
    const { open } = start();
    const sequence = await open('root ::= "ab" "c"?', true);
    sequence.write('ab');
    expect(textsOf(sequence.allowed())).toEqual(new Set(['c']));
    sequence.write('c');
    expect(sequence.allowed()).toEqual([stop]);
  });

  it('never allows control tokens, and any byte of a character alone', async () => {
    const { open } = start();
    const sequence = await open('root ::= [^a]*');
    expect(sequence.allowed()).not.toContain(control);
    sequence.write('bä😀');
    expect(sequence.allowed()).not.toContain(bytesOf('a')[0]);
  });

  it('leaves text free until a tag begins', async () => {
    const { open } = start();
    const sequence = await open('root ::= TagDispatch(("<tool_call>", call))\ncall ::= "{" "}"');
    sequence.write('Hello <tool');
    expect(sequence.allowed().length).toBeGreaterThan(200);
    sequence.write('_call>');
    expect(textsOf(sequence.allowed())).toEqual(new Set(['{']));
    sequence.write('{} and more');
    expect(sequence.allowed()).toContain(stop);
  });

  it('says so where it leaves nothing', async () => {
    const { open } = start();
    const sequence = await open('root ::= "a" root');
    sequence.write('aaa');
    const dead = await open('root ::= "a" dead\ndead ::= dead "b"');
    dead.write('a');
    expect(() => dead.allowed()).toThrow('allows no token here');
  });
});

describe('grammars', () => {
  it.each([
    ['root ::= (', 'Expect element'],
    ['root ::= x', 'Rule "x" is not defined'],
    ['x ::= "a"', 'root'],
    ['', 'root'],
  ])('%j is refused with a reason, and the others go on', async (ebnf, reason) => {
    const { open } = start();
    const sequence = await open('root ::= "abc"');
    sequence.write('a');
    const refused = open(ebnf);
    await expect(refused).rejects.toThrow(GrammarError);
    await expect(refused).rejects.toThrow(reason);
    await expect(refused).rejects.not.toThrow('.cc');
    sequence.write('bc');
    expect(sequence.allowed()).toEqual([stop]);
  });

  it('many follow their own tokens at once', async () => {
    const { open } = start();
    const letters = [...'abcdefgh'];
    const sequences = await Promise.all(letters.map((letter) => open(`root ::= "${letter}"{20} | "x"`)));
    for (let i = 0; i < 20; i++) {
      for (const [at, sequence] of sequences.entries()) sequence.write(letters[at]!);
    }
    for (const sequence of sequences) expect(sequence.allowed()).toEqual([stop]);
  });

  it('more than are kept are compiled again', async () => {
    const { open } = start();
    for (let i = 0; i < 80; i++) (await open(`root ::= "${i % 40} "`)).write(`${i % 40} `);
  });

  it('goes on with a new thread where one grammar takes too long', async () => {
    const { open } = start({ compileDeadlineMs: 4000 });
    const sequence = await open('root ::= "abc"');
    sequence.write('a');
    const rules = Array.from({ length: 6000 }, (_, i) => `r${i}`);
    const bomb = `root ::= ${rules.join('|')}\n${rules.map((rule) => `${rule} ::= "${rule}" [a-z]* root?`).join('\n')}`;
    const waiting = [open('root ::= "x"'), open(bomb), open('root ::= "y"')] as const;
    await expect(waiting[1]).rejects.toThrow('too complex');
    (await waiting[0]).write('x');
    (await waiting[2]).write('y');
    sequence.write('bc');
    expect(sequence.allowed()).toEqual([stop]);
  });

  it('refuses one that takes too much memory, or is too long', async () => {
    const { open } = start();
    await expect(open('root ::= (((("a"{100}){100}){100}){100})')).rejects.toThrow('too large');
    await expect(open(`root ::= "${'a'.repeat(300_000)}"`)).rejects.toThrow('262144 are allowed');
    (await open('root ::= "x"')).write('x');
  });

  it('a closed one never waits', async () => {
    const { open } = start();
    const sequence = await open('root ::= "abc"');
    sequence.opened[Symbol.dispose]();
    expect(() => sequence.allowed()).toThrow('failed');
  });

  it('one that is aborted before it is compiled is given up', async () => {
    const { grammars, open } = start();
    const controller = new AbortController();
    const given = grammars.open({ ebnf: 'root ::= "a"' }, maxTokens, controller.signal);
    controller.abort(new Error('No longer wanted.'));
    await expect(given).rejects.toThrow('No longer wanted.');
    (await open('root ::= "a"')).write('a');
  });

  it('is available while none is being compiled', async () => {
    const { open } = start();
    const sequence = await open('root ::= "ab"{50}');
    expect(sequence.constraint.available).toBe(true);
    sequence.write('ab');
    expect(sequence.constraint.available).toBe(true);
  });
});
