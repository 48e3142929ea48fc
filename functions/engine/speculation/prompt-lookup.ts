/** Three token ids of up to 2^18 make an exact number; that some share one costs a wrong guess, no more. */
const base = 2 ** 17;

/** Tokens that have to repeat before what followed them is expected again; longer ones are tried first. */
export const matchLengths = [3, 2] as const;
export type MatchLength = (typeof matchLengths)[number];

/**
 * Guesses a text's next tokens from where its last ones stood before: texts that quote, edit or sum up their prompt
 * repeat it. Costs nothing but the looking up (Prompt Lookup Decoding, Saxena 2023).
 */
export class PromptLookup {
  readonly #tokens: number[] = [];
  /** By how many tokens in a row, and which: the place after their last occurrence. */
  readonly #places = new Map(matchLengths.map((match) => [match, new Map<number, number>()]));

  constructor(tokens: ArrayLike<number>) {
    for (let i = 0; i < tokens.length; i++) this.add(tokens[i]!);
  }

  add(token: number): void {
    // What ends before this token has a successor now.
    for (const length of matchLengths) {
      const key = this.#key(length);
      if (key !== undefined) this.#places.get(length)!.set(key, this.#tokens.length);
    }
    this.#tokens.push(token);
  }

  /**
   * @param match tokens that have to repeat
   * @returns up to `most` tokens, undefined where the last ones stood nowhere before
   */
  draft(match: MatchLength, most: number): number[] | undefined {
    const key = this.#key(match);
    const place = key === undefined ? undefined : this.#places.get(match)!.get(key);
    return place === undefined ? undefined : this.#tokens.slice(place, place + most);
  }

  /** The last tokens as one number. */
  #key(length: MatchLength): number | undefined {
    const { length: end } = this.#tokens;
    if (end < length) return undefined;
    let key = 0;
    for (let i = end - length; i < end; i++) key = key * base + this.#tokens[i]!;
    return key;
  }
}
