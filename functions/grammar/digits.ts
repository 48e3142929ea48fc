import { oneOf, repeat } from './rules.ts';

/*
 * Numbers within bounds, digit by digit: each digit tells apart what may follow. Alternatives that begin alike would
 * say the same, but XGrammar takes some of them for each other.
 */

const digits = (least: number, most: number) => repeat('[0-9]', least, most);

/** `[3-7]`; undefined where there is none. */
function between(first: number, last: number): string | undefined {
  if (first > last) return undefined;
  return first === last ? `"${first}"` : `[${first}-${last}]`;
}

/** What may follow a whole number; undefined where it may not be written. */
export type Ending = (place: { isLow: boolean; isHigh: boolean }) => string | undefined;

/**
 * Whole numbers from `low` to `high`, 0 or more, without leading zeros, each with its ending.
 * @returns undefined where there are none
 */
export function wholeNumbers(low: bigint, high: bigint, ending: Ending): string | undefined {
  if (low > high) return undefined;
  if (low > 0n) return positiveNumbers(low, high, ending);
  const zero = ending({ isLow: true, isHigh: high === 0n });
  const rest =
    high > 0n ? positiveNumbers(1n, high, ({ isHigh }) => ending({ isLow: false, isHigh })) : undefined;
  return some([zero === undefined ? undefined : `"0" ${zero}`, rest]);
}

function positiveNumbers(low: bigint, high: bigint, ending: Ending): string | undefined {
  const [lowest, highest] = [String(low), String(high)];
  return after(0, 0, 0);

  /** @param toLow,toHigh how the first `count` digits compare with the bound's own: -1, 0, 1 */
  function after(count: number, toLow: number, toHigh: number): string | undefined {
    const isFree = toLow !== 0 && toHigh !== 0;
    if (isFree) return freely(count, toLow, toHigh);
    if (count > highest.length) return undefined;
    const next = new Map<string, { first: number; last: number; state: [number, number] }>();
    for (let digit = count === 0 ? 1 : 0; digit <= 9; digit++) {
      const state: [number, number] = [
        compared(toLow, digit, lowest[count]),
        compared(toHigh, digit, highest[count]),
      ];
      const known = next.get(String(state));
      if (known) known.last = digit;
      else next.set(String(state), { first: digit, last: digit, state });
    }
    const alternatives = [...next.values()].map(({ first, last, state }) => {
      const rest = after(count + 1, ...state);
      return rest === undefined ? undefined : `${between(first, last)} ${rest}`;
    });
    if (isAllowed(count, toLow, toHigh)) {
      const isLow = toLow === 0 && count === lowest.length;
      const isHigh = toHigh === 0 && count === highest.length;
      alternatives.unshift(ending({ isLow, isHigh }));
    }
    return some(alternatives);
  }

  /** Digits that no longer matter, as many as bring the number between the bounds. */
  function freely(count: number, toLow: number, toHigh: number): string | undefined {
    const least = Math.max(count, lowest.length + (toLow < 0 ? 1 : 0));
    const most = highest.length - (toHigh > 0 ? 1 : 0);
    const end = ending({ isLow: false, isHigh: false });
    return least > most || end === undefined ? undefined : `${digits(least - count, most - count)} ${end}`;
  }

  function isAllowed(count: number, toLow: number, toHigh: number): boolean {
    if (count === 0) return false;
    const isEnough = count > lowest.length || (count === lowest.length && toLow >= 0);
    return isEnough && (count < highest.length || (count === highest.length && toHigh <= 0));
  }
}

/** A number with more digits than the bound is above it. */
function compared(before: number, digit: number, bound: string | undefined): number {
  if (before !== 0) return before;
  return bound === undefined ? 1 : Math.sign(digit - Number(bound));
}

/** A bound's digits behind the point, without zeros at the end. */
export interface FractionBound {
  digits: string;
  /** Whether the bound itself is allowed. */
  inclusive: boolean;
}

/** Digits behind a point, the point included, of at most so many. */
export function fractions(
  low: FractionBound | undefined,
  high: FractionBound | undefined,
  most: number,
): string | undefined {
  const hasNone =
    (!low || (low.digits === '' && low.inclusive)) && (!high || high.inclusive || high.digits !== '');
  const behind = most > 0 ? after(0, !low, !high) : undefined;
  return some([hasNone ? '""' : undefined, behind === undefined ? undefined : `"." ${behind}`]);

  /** @param isAbove,isBelow whether the digits so far are beyond the bound's own already */
  function after(count: number, isAbove: boolean, isBelow: boolean): string | undefined {
    if (isAbove && isBelow) return digits(count === 0 ? 1 : 0, most - count);
    const [lowDigits, highDigits] = [low?.digits ?? '', high?.digits ?? ''];
    const alternatives: (string | undefined)[] = [];
    const meetsLow = isAbove || (count >= lowDigits.length && low!.inclusive);
    const meetsHigh =
      isBelow || count < highDigits.length || (count === highDigits.length && high!.inclusive);
    if (count > 0 && meetsLow && meetsHigh) alternatives.push('""');
    const first = isAbove ? 0 : Number(lowDigits[count] ?? 0);
    const last = isBelow ? 9 : Number(highDigits[count] ?? 0);
    // Beyond a bound's last digit, more zeros equal it: they are not written.
    const isPast = !isBelow && count >= highDigits.length;
    if (count === most || isPast || first > last) return some(alternatives);
    for (const [from, to] of parts(first, last, !isAbove, !isBelow)) {
      const rest = after(count + 1, isAbove || from > first, isBelow || to < last);
      if (rest !== undefined) alternatives.push(`${between(from, to)} ${rest}`);
    }
    return some(alternatives);
  }
}

/** The digits from `first` to `last`, with those apart that are a bound's own. */
function parts(first: number, last: number, isLow: boolean, isHigh: boolean): [number, number][] {
  if (first === last) return [[first, last]];
  const [from, to] = [isLow ? first + 1 : first, isHigh ? last - 1 : last];
  return (
    [
      [first, isLow ? first : -1],
      [from, to],
      [isHigh ? last : 10, last],
    ] as [number, number][]
  ).filter(([from, to]) => from <= to);
}

function some(alternatives: readonly (string | undefined)[]): string | undefined {
  const possible = alternatives.filter((alternative) => alternative !== undefined);
  return possible.length > 0 ? oneOf(possible) : undefined;
}
