import type { TextDelta } from '../model/generate.ts';

const none: readonly [number, TextDelta][] = [];

/** Pieces that wait for a slow reader, those of one choice joined: text takes a fiftieth of the events it would make. */
export class HeldDeltas {
  readonly #held = new Map<number, TextDelta>();

  add(index: number, delta: TextDelta): void {
    const before = this.#held.get(index);
    this.#held.set(index, before ? joined(before, delta) : delta);
  }

  /** All that is held, which is nothing afterwards. */
  take(): readonly [index: number, delta: TextDelta][] {
    if (this.#held.size === 0) return none;
    const all = [...this.#held];
    this.#held.clear();
    return all;
  }
}

function joined(first: TextDelta, second: TextDelta): TextDelta {
  const logprobs = chained(first.logprobs, second.logprobs);
  const calls = chained(first.calls, second.calls);
  return {
    ...second,
    text: first.text + second.text,
    tokens: first.tokens + second.tokens,
    ...(logprobs && { logprobs }),
    ...(calls && { calls }),
  };
}

/** One list after the other, where there is any. */
function chained<Item>(first: Item[] | undefined, second: Item[] | undefined): Item[] | undefined {
  return first && second ? [...first, ...second] : (first ?? second);
}
