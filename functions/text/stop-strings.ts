import { longestBeginning } from './longest-beginning.ts';

/**
 * Ends a text before the first stop string, wherever the pieces it comes in are cut. Text that may be the
 * beginning of a stop string is held back, so that no part of one is ever given out.
 *
 * Where several match, the one that is complete first wins, and of those the longest: what one would get
 * from text that comes character by character.
 */
export class StopStrings {
  readonly #stops: readonly string[];
  #held = '';

  constructor(stops: readonly string[]) {
    this.#stops = stops;
  }

  /** @returns the text that is now safe to give out, and the stop string that ended it, if one did. */
  push(piece: string): { text: string; stop?: string } {
    if (this.#stops.length === 0) return { text: piece };
    const text = this.#held + piece;
    const cut = this.#firstMatch(text);
    if (cut !== undefined) {
      this.#held = '';
      return { text: text.slice(0, cut.start), stop: cut.stop };
    }
    const safe = text.length - longestBeginning(this.#stops, text);
    this.#held = text.slice(safe);
    return { text: text.slice(0, safe) };
  }

  /** The text ended without a stop string: what was held back belongs to it. */
  end(): string {
    const held = this.#held;
    this.#held = '';
    return held;
  }

  #firstMatch(text: string): { start: number; stop: string } | undefined {
    let first: { start: number; stop: string } | undefined;
    let end = Number.POSITIVE_INFINITY;
    for (const stop of this.#stops) {
      const start = text.indexOf(stop);
      if (start < 0 || start + stop.length > end) continue;
      if (start + stop.length === end && start > first!.start) continue;
      first = { start, stop };
      end = start + stop.length;
    }
    return first;
  }
}
