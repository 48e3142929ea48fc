import type { TokenPieces } from './pieces.ts';

/**
 * Tokens to text as they come. A character torn between tokens is held back until it is whole, so that no
 * piece of text ever ends inside a character; `end` gives what is left, broken bytes as U+FFFD. The pieces
 * joined are the same text however the tokens were cut into calls.
 */
export class Detokenizer {
  readonly #pieces: TokenPieces;
  readonly #decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  /** The decoder may hold the first bytes of a character. */
  #mayHold = false;
  #spacesToDrop: number;

  /** @param options.continues the tokens go on from a text, so that their leading space belongs to it. */
  constructor(pieces: TokenPieces, options: { continues: boolean }) {
    this.#pieces = pieces;
    this.#spacesToDrop = options.continues ? 0 : pieces.leadingSpaces;
  }

  push(tokens: readonly number[]): string {
    let text = '';
    for (const token of tokens) {
      const piece = this.#pieces.of(token);
      if (typeof piece !== 'string') {
        text += this.#decoder.decode(piece, { stream: true });
        this.#mayHold = true;
      } else if (piece !== '') {
        text += this.#flush() + piece;
      }
    }
    return this.#dropSpaces(text);
  }

  end(): string {
    return this.#dropSpaces(this.#flush());
  }

  #flush(): string {
    if (!this.#mayHold) return '';
    this.#mayHold = false;
    return this.#decoder.decode();
  }

  #dropSpaces(text: string): string {
    if (this.#spacesToDrop === 0 || text === '') return text;
    let dropped = 0;
    while (dropped < this.#spacesToDrop && text[dropped] === ' ') dropped++;
    this.#spacesToDrop = dropped === text.length ? this.#spacesToDrop - dropped : 0;
    return text.slice(dropped);
  }
}

/** A whole text at once. */
export function detokenize(pieces: TokenPieces, tokens: readonly number[]): string {
  const detokenizer = new Detokenizer(pieces, { continues: false });
  return detokenizer.push(tokens) + detokenizer.end();
}
