import { createReadStream } from 'node:fs';
import { InvalidDataError, UsageError } from '../../artifact/errors.ts';

/** A question with answers to choose from. */
export interface ChoiceItem {
  /** For messages: file and line. */
  where: string;
  query: string;
  choices: string[];
  /** Index of the right one. */
  gold: number;
}

/** A text whose end is to be guessed, as the last words of LAMBADA are. */
export interface ContinuationItem {
  where: string;
  context: string;
  continuation: string;
}

export type Task =
  | { kind: 'choice'; items: ChoiceItem[] }
  | { kind: 'continuation'; items: ContinuationItem[] };

/**
 * Reads a task of JSON lines, all of one kind: `{query, choices, gold}` or `{context, continuation}`. Other
 * fields are left alone.
 * @param limit reads no more items than this
 * @throws UsageError where there is no such file
 * @throws InvalidDataError naming file, line and field
 */
export async function readTask(path: string, limit = Infinity): Promise<Task> {
  const choice: ChoiceItem[] = [];
  const continuation: ContinuationItem[] = [];
  let number = 0;
  for await (const raw of linesOf(path)) {
    number++;
    const line = raw.trim(); // a byte order mark, too
    if (line === '') continue;
    if (choice.length + continuation.length >= limit) break;
    const where = `${path}, line ${number}`;
    const fields = objectOf(line, where);
    if (isChoice(fields, where)) choice.push(choiceItem(fields, where));
    else continuation.push(continuationItem(fields, where));
    if (choice.length > 0 && continuation.length > 0) {
      throw new InvalidDataError(
        `${where}: a file holds items of one kind, and this one is not of the kind before it: ` +
          'query, choices and gold, or context and continuation.',
      );
    }
  }
  if (choice.length > 0) return { kind: 'choice', items: choice };
  if (continuation.length > 0) return { kind: 'continuation', items: continuation };
  throw new InvalidDataError(`${path} holds no items: one JSON object a line is expected.`);
}

/** By line feeds alone: readline takes U+2028 for the end of a line as well, which may stand in JSON. */
async function* linesOf(path: string): AsyncGenerator<string> {
  let rest = '';
  try {
    for await (const chunk of createReadStream(path, 'utf8')) {
      const lines = (rest + chunk).split('\n');
      rest = lines.pop()!;
      yield* lines;
    }
  } catch (cause) {
    throw new UsageError(`No task could be read from ${path}.`, { cause });
  }
  yield rest;
}

type Fields = Record<string, unknown>;

function objectOf(line: string, where: string): Fields {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch (cause) {
    throw new InvalidDataError(`${where}: a JSON object was expected, this is no JSON: ${shown(line)}.`, {
      cause,
    });
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Fields;
  throw new InvalidDataError(`${where}: a JSON object was expected, not ${shown(value)}.`);
}

function isChoice(fields: Fields, where: string): boolean {
  if ('query' in fields || 'choices' in fields) return true;
  if ('context' in fields || 'continuation' in fields) return false;
  throw new InvalidDataError(
    `${where}: the fields query, choices and gold, or context and continuation, were expected, not ${shown(Object.keys(fields))}.`,
  );
}

function choiceItem(fields: Fields, where: string): ChoiceItem {
  const { choices, gold } = fields;
  const query = textField(fields, 'query', where);
  if (!Array.isArray(choices) || choices.length < 2 || !choices.every(isText)) {
    throw new InvalidDataError(
      `${where}: choices should be a list of two texts or more, none of them empty, not ${shown(choices)}.`,
    );
  }
  if (!Number.isInteger(gold) || !((gold as number) >= 0 && (gold as number) < choices.length)) {
    throw new InvalidDataError(
      `${where}: gold should be the right choice's index, 0 to ${choices.length - 1}, not ${shown(gold)}.`,
    );
  }
  return { where, query, choices, gold: gold as number };
}

function continuationItem(fields: Fields, where: string): ContinuationItem {
  const context = textField(fields, 'context', where);
  const { continuation } = fields;
  if (isText(continuation)) return { where, context, continuation };
  throw new InvalidDataError(
    `${where}: continuation should be a text that is not empty, not ${shown(continuation)}.`,
  );
}

/** A text that may be empty. */
function textField(fields: Fields, name: string, where: string): string {
  const value = fields[name];
  if (typeof value === 'string') return value;
  throw new InvalidDataError(`${where}: ${name} should be a text, not ${shown(value)}.`);
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value.trim() !== '';
}

/** Characters of a value that a message quotes. */
const shownLength = 60;

function shown(value: unknown): string {
  if (value === undefined) return 'missing';
  const json = JSON.stringify(value);
  return json.length <= shownLength ? json : `${json.slice(0, shownLength)}...`;
}
