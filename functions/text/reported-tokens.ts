import type { TokenPieces } from './pieces.ts';

/** Characters as Python counts them, which OpenAI's offsets do. */
export function charactersOf(text: string): number {
  let count = 0;
  for (const _ of text) count++;
  return count;
}

/** What is to be told of a token, and where its text is. */
export interface Placed<Report> {
  report: Report;
  /** The characters before its own. */
  offset: number;
  /** What is left of its text where a text begins with it, without the spaces before a first word. */
  shortened?: string;
}

/**
 * Keeps what is to be told of tokens until their text is given out, so that nothing is told of a text that a stop
 * string cuts off, and the parts of a character are told of together.
 */
export class ReportedTokens<Report> {
  readonly #pieces: TokenPieces;
  readonly #held: Placed<Report>[] = [];
  /** Characters that the tokens made so far, and how many of them were given out. */
  #made: number;
  #given: number;

  /** @param offset characters before the first token's */
  constructor(pieces: TokenPieces, offset: number) {
    this.#pieces = pieces;
    this.#made = offset;
    this.#given = offset;
  }

  /** @param text what came out of the detokenizer for it */
  add(token: number, text: string, report: Report): void {
    const before = this.#made;
    this.#made += charactersOf(text);
    const piece = this.#pieces.of(token);
    // Before a whole piece, the text may have got the replacement of a character that was never finished.
    if (typeof piece === 'string') {
      const offset = Math.max(before, this.#made - charactersOf(piece));
      const isShort = text.length < piece.length && piece.endsWith(text);
      this.#held.push({ report, offset, ...(isShort && { shortened: text }) });
    } else this.#held.push({ report, offset: before });
  }

  /** @returns what is to be told, now that more text was given out: of tokens that begin before its end */
  give(text: string): Placed<Report>[] {
    this.#given += charactersOf(text);
    const end = this.#held.findIndex(({ offset }) => offset >= this.#given);
    return this.#held.splice(0, end < 0 ? this.#held.length : end);
  }

  /** @returns what is left, where no text was cut off */
  end(): Placed<Report>[] {
    return this.#held.splice(0);
  }
}
