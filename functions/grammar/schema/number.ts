import { fractions, wholeNumbers } from '../digits.ts';
import { maxDigits } from '../json-text.ts';
import { oneOf } from '../rules.ts';
import { impossible, numberAt, type Path, type SchemaContext, type SchemaObject } from './schema.ts';

interface Bound {
  value: number;
  inclusive: boolean;
}

/** Digits behind the point where a number has bounds: enough, and few enough that rounding never crosses one. */
const boundedFraction = 5;
/** Beyond this, bounded numbers have no digits behind the point: a double has no room for both. */
const largestWithFraction = 1e9;
/** The largest whole numbers that are written. */
const largest = 10n ** BigInt(maxDigits) - 1n;

export function integerOf(schema: SchemaObject, path: Path, { json }: SchemaContext): string {
  const { low, high } = boundsOf(schema, path);
  if (!low && !high) return json.integer;
  const from = low ? within(wholeFrom(low)) : -largest;
  const to = high ? within(-wholeFrom(negative(high))) : largest;
  if (from === -largest && to === largest) return json.integer;
  const below = from < 0n ? wholeNumbers(to < 0n ? -to : 1n, -from, () => '""') : undefined;
  const above = to >= 0n ? wholeNumbers(from > 0n ? from : 0n, to, () => '""') : undefined;
  return withSign(below, above, path);
}

export function numberOf(schema: SchemaObject, path: Path, { json }: SchemaContext): string {
  const { low, high } = boundsOf(schema, path);
  if (!low && !high) return json.number;
  const [least, most] = [low && low.value >= 0 ? low : zero, high && high.value < 0 ? negative(high) : zero];
  const below = low && low.value >= 0 ? undefined : magnitudes(most, low && negative(low));
  const above = high && high.value < 0 ? undefined : magnitudes(least, high);
  return withSign(below, above, path);
}

const zero: Bound = { value: 0, inclusive: true };

function withSign(below: string | undefined, above: string | undefined, path: Path): string {
  const alternatives = [below && `"-" ${below}`, above].filter((part) => part !== undefined);
  if (alternatives.length === 0) throw impossible(path, 'no number is within the bounds');
  return oneOf(alternatives);
}

/** Numbers from 0 on between the bounds. */
function magnitudes(low: Bound, high: Bound | undefined): string | undefined {
  const [lowWhole, lowDigits] = partsOf(low.value);
  const [highWhole, highDigits] = high ? partsOf(high.value) : [largest, ''];
  const most = Math.max(low.value, high?.value ?? 0) > largestWithFraction ? 0 : boundedFraction;
  const atLow = { digits: lowDigits, inclusive: low.inclusive };
  const atHigh = high && { digits: highDigits, inclusive: high.inclusive };
  return wholeNumbers(lowWhole, highWhole, ({ isLow, isHigh }) =>
    fractions(isLow ? atLow : undefined, isHigh ? atHigh : undefined, most),
  );
}

/** The whole part, and the digits behind the point. */
function partsOf(value: number): [whole: bigint, digits: string] {
  const [whole, digits = ''] = decimal(value).split('.');
  return [BigInt(whole!), digits];
}

/** Without an exponent. */
function decimal(value: number): string {
  if (Number.isInteger(value)) return String(BigInt(value));
  const text = String(value);
  return text.includes('e') ? value.toFixed(20).replace(/0+$/, '') : text;
}

function boundsOf(schema: SchemaObject, path: Path) {
  return {
    low: boundOf(schema, 'minimum', 'exclusiveMinimum', Math.max, path),
    high: boundOf(schema, 'maximum', 'exclusiveMaximum', Math.min, path),
  };
}

/** The tighter of two bounds, of which one excludes its own value. */
function boundOf(
  schema: SchemaObject,
  inclusive: string,
  exclusive: string,
  tighter: (a: number, b: number) => number,
  path: Path,
): Bound | undefined {
  // Draft 4 has a boolean beside the bound.
  const isFlag = typeof schema[exclusive] === 'boolean';
  const at = numberAt(schema, inclusive, path);
  const beyond = isFlag ? undefined : numberAt(schema, exclusive, path);
  if (at === undefined) return beyond === undefined ? undefined : { value: beyond, inclusive: false };
  if (beyond === undefined) return { value: at, inclusive: schema[exclusive] !== true };
  const value = tighter(at, beyond);
  return { value, inclusive: value !== beyond };
}

const negative = ({ value, inclusive }: Bound): Bound => ({ value: -value, inclusive });

/** The least whole number that a lower bound allows. */
function wholeFrom({ value, inclusive }: Bound): bigint {
  const least = BigInt(Math.ceil(value));
  return !inclusive && Number.isInteger(value) ? least + 1n : least;
}

/** Not further than numbers are written: bounds beyond that, as zod's of every integer, say nothing. */
function within(bound: bigint): bigint {
  if (bound < -largest) return -largest;
  return bound > largest ? largest : bound;
}
