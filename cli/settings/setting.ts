import { z } from 'zod';
import { parseBytes } from '../bytes.ts';
import { parseDuration } from '../duration.ts';

/** One thing that can be set by a flag, by the environment or in a file. */
export interface Setting<T extends z.ZodType = z.ZodType> {
  /** As the command line's help shows it: `--slots <count>`. Absent where it comes from elsewhere alone. */
  flag?: string;
  help: string;
  /** Takes what a flag or a variable says, which is text, and what a JSON file says. */
  schema: T;
  /** In the form that people write it. */
  default?: string | number | boolean;
  /** Read where neither the flag nor FOLDGATE_NAME is there. */
  variables?: readonly string[];
  /** The flag may be given again, for further values; elsewhere commas part them. */
  isList?: true;
  /** Goes into no message. */
  isSecret?: true;
}

/** What a table of settings makes. */
export type Settings<Table extends Readonly<Record<string, Setting>>> = {
  [Name in keyof Table]: z.infer<Table[Name]['schema']>;
};

/** Text of a flag or a variable, or already what is wanted, from a file. */
function fromText<T>(
  schema: z.ZodType<T>,
  parse: (text: string) => T | undefined,
  expected: string,
): z.ZodType<T> {
  return z.unknown().transform((value, context) => {
    const parsed = typeof value === 'string' ? quietly(() => parse(value)) : value;
    const result = schema.safeParse(parsed);
    if (result.success) return result.data;
    context.addIssue({ code: 'custom', message: `${expected} is expected` });
    return z.NEVER;
  });
}

const toNumber = (text: string) => (text.trim() === '' ? undefined : Number(text));

export const whole = (least: number, most: number, expected: string) =>
  fromText(z.int().min(least).max(most), toNumber, expected);

export const count = whole(1, Number.MAX_SAFE_INTEGER, 'a whole number above 0');
export const port = whole(0, 65_535, 'a port from 0 to 65535');

/** `500MB`, or a number of bytes. */
export const bytes = fromText(z.int().min(0), parseBytes, 'a size such as 500MB or 10GB');

/** Node's timers count milliseconds in 31 bits. */
const maxTimerMs = 2 ** 31 - 1;

/** `30s`, in milliseconds. */
export const duration = fromText(
  z.number().min(0).max(maxTimerMs),
  parseDuration,
  'a time such as 90s, 30m or 24h, up to 24 days',
);

export const text = z.string({ error: 'a text is expected' }).min(1, 'it is empty');

/** Of a variable: `true`, `1`, `false`, `0`. */
export const onOff = fromText(
  z.boolean(),
  (value) => ({ true: true, 1: true, false: false, 0: false })[value.toLowerCase()],
  'true or false',
);

export const oneOf = <const T extends readonly string[]>(values: T) =>
  z.enum(values, { error: `one of ${values.join(', ')} is expected` });

export const list = <T extends z.ZodType>(item: T) =>
  z.preprocess(
    (value) => (typeof value === 'string' ? value.split(',').map((part) => part.trim()) : value),
    z.array(item, { error: 'a list is expected' }).min(1, 'it is empty'),
  );

function quietly<T>(parse: () => T): T | undefined {
  try {
    return parse();
  } catch {
    return undefined;
  }
}
