import { createHash } from 'node:crypto';
import { UsageError } from '../../../artifact/errors.ts';
import type { Document } from './documents.ts';

export interface Split {
  training: Document[];
  /** Never trained on. */
  heldOut: Document[];
}

/**
 * Sets a share of the documents aside. Which ones depends on the documents alone, so that runs with other
 * seeds can be compared, and a document that was held out once is never trained on later.
 * @param share of the documents; at least one of them is held out
 * @throws UsageError where there are fewer than two
 */
export function splitDocuments(documents: readonly Document[], share: number): Split {
  if (documents.length < 2) {
    throw new UsageError(
      'The training data is a single document, and one at least must be held out to measure on. ' +
        'Give more text, or put <|endoftext|> or blank lines between its parts.',
    );
  }
  const sorted = documents.toSorted((a, b) =>
    compare(rank('held out', a.digest), rank('held out', b.digest)),
  );
  const count = Math.min(Math.max(1, Math.round(documents.length * share)), documents.length - 1);
  return { heldOut: sorted.slice(0, count), training: sorted.slice(count) };
}

/** A seeded order of the documents, another for each pass over them. */
export function shuffle(documents: readonly Document[], seed: number, pass: number): Document[] {
  const ranked = documents.map((document) => ({
    document,
    rank: rank(`${seed}/${pass}`, document.digest),
  }));
  return ranked.sort((a, b) => compare(a.rank, b.rank)).map(({ document }) => document);
}

/** One digest for all: equal data gives equal digests, in whatever order its files were named. */
export function digestOfAll(documents: readonly Document[]): string {
  const hash = createHash('sha256');
  for (const digest of documents.map((document) => document.digest).sort()) hash.update(digest);
  return hash.digest('hex');
}

/** Orders documents as good as at random, without a generator whose state would have to be saved. */
function rank(salt: string, digest: string): string {
  return createHash('sha256').update(`${salt}/${digest}`).digest('hex');
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
