/** Tokens of the repeated units that are counted: shorter ones recur in any good text. */
const repeatedUnit = 4;

/** A text ends in a loop where its last part says the same at least so many times ... */
const leastTurns = 3;
/** ... over at least so many tokens. */
const leastLoop = 12;

/** How much a text repeats itself. */
export interface Repetition {
  /** Different runs of 1, 2 and 3 tokens, as shares of all such runs. */
  distinct: [number, number, number];
  /** Share of the runs of 4 tokens that were there before. */
  repeated: number;
  /** Whether it ends in a loop. */
  loops: boolean;
}

/** The mean over texts. */
export interface RepetitionSummary {
  distinct: [number, number, number];
  repeated: number;
  /** Share of the texts that end in a loop. */
  loops: number;
}

/** @param tokens of a text, without the one that ends it */
export function repetitionOf(tokens: ArrayLike<number>): Repetition {
  return {
    distinct: [distinctShare(tokens, 1), distinctShare(tokens, 2), distinctShare(tokens, 3)],
    repeated: 1 - distinctShare(tokens, repeatedUnit),
    loops: endsInLoop(tokens),
  };
}

export function summaryOf(texts: readonly Repetition[]): RepetitionSummary {
  const mean = (value: (text: Repetition) => number) =>
    texts.reduce((sum, text) => sum + value(text), 0) / texts.length;
  return {
    distinct: [mean((t) => t.distinct[0]), mean((t) => t.distinct[1]), mean((t) => t.distinct[2])],
    repeated: mean((t) => t.repeated),
    loops: mean((t) => Number(t.loops)),
  };
}

/** Different runs of n tokens among all; 1 for a text that is too short to have any. */
function distinctShare(tokens: ArrayLike<number>, n: number): number {
  const count = tokens.length - n + 1;
  if (count < 1) return 1;
  const runs = new Set<string>();
  for (let i = 0; i < count; i++) runs.add(Array.from({ length: n }, (_, j) => tokens[i + j]).join());
  return runs.size / count;
}

function endsInLoop(tokens: ArrayLike<number>): boolean {
  for (let period = 1; period * leastTurns <= tokens.length; period++) {
    const length = Math.max(period * leastTurns, leastLoop);
    if (length > tokens.length) continue;
    const start = tokens.length - length;
    let i = start + period;
    while (i < tokens.length && tokens[i] === tokens[i - period]) i++;
    if (i === tokens.length) return true;
  }
  return false;
}
