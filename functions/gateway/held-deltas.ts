import type { TextDelta } from '../model/generate.ts';

/** Pieces that wait for a slow reader, those of one choice joined: text takes a fiftieth of the events it would make. */
export class HeldDeltas {
  readonly #held = new Map<number, TextDelta>();

  add(index: number, delta: TextDelta): void {
    const before = this.#held.get(index);
    this.#held.set(index, before ? joined(before, delta) : delta);
  }

  /** All that is held, which is nothing afterwards. */
  take(): [index: number, delta: TextDelta][] {
    const all = [...this.#held];
    this.#held.clear();
    return all;
  }
}

function joined(first: TextDelta, second: TextDelta): TextDelta {
  return {
    ...second,
    text: first.text + second.text,
    tokens: first.tokens + second.tokens,
    ...lists('logprobs', first, second),
    ...lists('calls', first, second),
  };
}

/** A list that either of them may have, one after the other. */
function lists<Key extends 'logprobs' | 'calls'>(
  key: Key,
  first: TextDelta,
  second: TextDelta,
): Pick<TextDelta, Key> {
  if (!first[key] && !second[key]) return {};
  return { [key]: [...(first[key] ?? []), ...(second[key] ?? [])] } as Pick<TextDelta, Key>;
}
