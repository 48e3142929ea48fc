import { createHash } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { z } from 'zod';
import type { ChatMessage } from '../../../artifact/chat-template.ts';
import { InvalidDataError, NotFoundError, UsageError } from '../../../artifact/errors.ts';

/** One text of the training data: whole, or a conversation. */
export interface Document {
  content: string | readonly ChatMessage[];
  /** Of the content: tells equal documents. */
  digest: string;
}

/** Bytes of all files together, which are held in memory: some 100 million tokens, more than any cure reads. */
const maxBytes = 512 * 2 ** 20;

/** What story and web collections put between their documents. */
const separator = '<|endoftext|>';

/** Characters of a document that is cut from a longer text: some 1,000 tokens, more than a sequence. */
const cutLength = 4096;

const line = z.union([
  z.object({ text: z.string() }),
  z.object({ messages: z.array(z.object({ role: z.string(), content: z.string() })).min(1) }),
]);

/**
 * Reads training data. Of a `.jsonl` file each line is a document: `{"text": ...}`, or `{"messages": [{"role",
 * "content"}, ...]}` for a conversation. Any other file is UTF-8 text: its documents stand between
 * `<|endoftext|>`; where it has none, it is cut at blank lines into documents of some 1,000 tokens. Equal
 * documents count once.
 *
 * @throws InvalidDataError where a file is not of that form
 * @throws NotFoundError where there is none
 * @throws UsageError for more than 512 MiB, or where nothing is in them
 */
export async function readDocuments(paths: readonly string[]): Promise<Document[]> {
  const documents = new Map<string, Document>();
  let bytes = 0;
  for (const path of paths) {
    const found = await stat(path).catch((cause: Error) => {
      throw new NotFoundError(`There is no training data at ${path}.`, { cause });
    });
    if (!found.isFile()) throw new UsageError(`${path} is no file. Name the files with training data.`);
    bytes += found.size;
    if (bytes > maxBytes)
      throw new UsageError(`The training data has more than ${maxBytes / 2 ** 20} MiB: give a part of it.`);
    const text = decode(await readFile(path), path);
    const contents = path.endsWith('.jsonl') ? parseLines(text, path) : cutText(text);
    for (const content of contents) {
      const digest = digestOf(content);
      documents.set(digest, { content, digest });
    }
  }
  if (documents.size === 0) throw new UsageError(`There is no text in ${paths.join(', ')}.`);
  return [...documents.values()];
}

function decode(bytes: Uint8Array, path: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new InvalidDataError(`${path} is no UTF-8 text. Unpack or convert it first.`, { cause });
  }
}

function* parseLines(text: string, path: string): Generator<Document['content']> {
  for (const [i, json] of text.split('\n').entries()) {
    if (json.trim() === '') continue;
    const wrong = (reason: string) =>
      new InvalidDataError(
        `${path}, line ${i + 1}: ${reason}. Expected {"text": "..."} or {"messages": [{"role": "...", "content": "..."}]}.`,
      );
    let value: unknown;
    try {
      value = JSON.parse(json);
    } catch {
      throw wrong('no JSON');
    }
    const parsed = line.safeParse(value);
    if (!parsed.success) throw wrong('not of the form known here');
    if ('messages' in parsed.data) yield parsed.data.messages;
    else if (parsed.data.text.trim() !== '') yield parsed.data.text;
  }
}

function* cutText(text: string): Generator<string> {
  const pieces = text.split(separator).map((piece) => piece.trim());
  if (pieces.length > 1) yield* pieces.filter((piece) => piece !== '');
  else yield* cutAtBlankLines(text.trim());
}

function* cutAtBlankLines(text: string): Generator<string> {
  const blank = /\n[ \t\r]*\n/g;
  let start = 0;
  for (const { index } of text.matchAll(blank)) {
    if (index - start < cutLength) continue;
    yield text.slice(start, index).trim();
    start = index;
  }
  const rest = text.slice(start).trim();
  if (rest !== '') yield rest;
}

function digestOf(content: Document['content']): string {
  return createHash('sha256').update(JSON.stringify(content)).digest('hex');
}
