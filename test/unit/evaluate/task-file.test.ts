import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { InvalidDataError, UsageError } from '../../../artifact/errors.ts';
import { readTask } from '../../../compressor/evaluate/task-file.ts';
import { temporaryFolder } from '../../fixtures/temporary-folder.ts';

async function fileOf(content: string): Promise<string> {
  const path = join(await temporaryFolder(), 'task.jsonl');
  await writeFile(path, content);
  return path;
}

const question = { query: 'Is ice cold?', choices: ['no', 'yes'], gold: 1 };
const ending = { context: 'Once upon a', continuation: 'time' };
const linesOf = (...items: unknown[]) => items.map((item) => `${JSON.stringify(item)}\n`).join('');

describe('readTask', () => {
  it('reads questions, leaving other fields alone', async () => {
    const path = await fileOf(linesOf(question, { ...question, gold: 0, id: 7 }));
    expect(await readTask(path)).toEqual({
      kind: 'choice',
      items: [
        { where: `${path}, line 1`, ...question },
        { where: `${path}, line 2`, ...question, gold: 0 },
      ],
    });
  });

  it('reads texts to be ended', async () => {
    const path = await fileOf(linesOf(ending, { context: '', continuation: ' time' }));
    const task = await readTask(path);
    expect(task.kind).toBe('continuation');
    expect(task.items).toEqual([
      { where: `${path}, line 1`, ...ending },
      { where: `${path}, line 2`, context: '', continuation: ' time' },
    ]);
  });

  it('skips empty lines and a byte order mark, takes CRLF and a last line without end', async () => {
    const [a, b] = [JSON.stringify(question), JSON.stringify(question)];
    const { items } = await readTask(await fileOf(`\uFEFF${a}\r\n\r\n \n${b}`));
    expect(items.map(({ where }) => where.replace(/^.*, /, ''))).toEqual(['line 1', 'line 4']);
  });

  it('keeps U+2028 inside a text, which is no end of a line in JSON', async () => {
    const { items } = await readTask(await fileOf(linesOf({ context: 'a\u2028b', continuation: 'c' })));
    expect(items).toMatchObject([{ context: 'a\u2028b' }]);
  });

  it('reads no further than the limit', async () => {
    const path = await fileOf(`${linesOf(question, question)}broken\n`);
    expect((await readTask(path, 2)).items).toHaveLength(2);
    await expect(readTask(path, 3)).rejects.toThrow('line 3');
  });

  it.each<[string, string]>([
    ['{"query": "a"', 'a JSON object was expected, this is no JSON: "{\\"query\\": \\"a\\"".'],
    ['[1, 2]', 'a JSON object was expected, not [1,2].'],
    ['null', 'a JSON object was expected, not null.'],
    [
      '{"text": "a"}',
      'the fields query, choices and gold, or context and continuation, were expected, not ["text"].',
    ],
    [JSON.stringify({ ...question, query: 3 }), 'query should be a text, not 3.'],
    [JSON.stringify({ choices: ['a', 'b'], gold: 0 }), 'query should be a text, not missing.'],
    [
      JSON.stringify({ ...question, choices: ['yes'] }),
      'a list of two texts or more, none of them empty, not ["yes"].',
    ],
    [JSON.stringify({ ...question, choices: ['a', ''] }), 'none of them empty, not ["a",""].'],
    [JSON.stringify({ ...question, choices: 'ab' }), 'none of them empty, not "ab".'],
    [JSON.stringify({ ...question, gold: 2 }), "gold should be the right choice's index, 0 to 1, not 2."],
    [JSON.stringify({ ...question, gold: -1 }), '0 to 1, not -1.'],
    [JSON.stringify({ ...question, gold: '1' }), '0 to 1, not "1".'],
    [JSON.stringify({ ...question, gold: 0.5 }), '0 to 1, not 0.5.'],
    [JSON.stringify({ query: 'a', choices: ['a', 'b'] }), '0 to 1, not missing.'],
    [JSON.stringify({ context: 'a' }), 'continuation should be a text that is not empty, not missing.'],
    [JSON.stringify({ context: 'a', continuation: ' ' }), 'not empty, not " ".'],
    [JSON.stringify({ continuation: 'a' }), 'context should be a text, not missing.'],
    [JSON.stringify({ query: 'x'.repeat(99), choices: 'y'.repeat(1000) }), `not "${'y'.repeat(59)}....`],
  ])('names file, line and fault: %s', async (line, message) => {
    const path = await fileOf(`\n${line}\n`);
    await expect(readTask(path)).rejects.toThrow(`${path}, line 2: `);
    await expect(readTask(path)).rejects.toThrow(message);
    await expect(readTask(path)).rejects.toThrow(InvalidDataError);
  });

  it('refuses a file that mixes both kinds', async () => {
    await expect(readTask(await fileOf(linesOf(question, ending)))).rejects.toThrow(
      /line 2: a file holds items of one kind/,
    );
  });

  it('refuses an empty file, and one that is not there', async () => {
    await expect(readTask(await fileOf('\n\n'))).rejects.toThrow('holds no items');
    await expect(readTask('/nowhere/task.jsonl')).rejects.toThrow(UsageError);
    await expect(readTask(import.meta.dirname)).rejects.toThrow(UsageError);
  });
});
