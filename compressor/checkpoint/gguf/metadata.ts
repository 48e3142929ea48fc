import { InvalidDataError } from '../../../artifact/errors.ts';
import type { GgufValue } from './header.ts';

/** Typed access to a header's values. */
export class Metadata {
  readonly #values: Map<string, GgufValue>;
  readonly #where: string;

  constructor(values: Map<string, GgufValue>, where: string) {
    this.#values = values;
    this.#where = where;
  }

  string(key: string): string | undefined {
    return this.#get(key, 'a string', (value) => typeof value === 'string') as string | undefined;
  }

  boolean(key: string): boolean | undefined {
    return this.#get(key, 'true or false', (value) => typeof value === 'boolean') as boolean | undefined;
  }

  number(key: string): number | undefined {
    return this.#get(key, 'a finite number', Number.isFinite) as number | undefined;
  }

  /** A whole number from `min` to `max`. */
  integer(key: string, min: number, max: number): number | undefined {
    const inRange = (value: GgufValue) =>
      Number.isInteger(value) && (value as number) >= min && (value as number) <= max;
    return this.#get(key, `a whole number from ${min} to ${max}`, inRange) as number | undefined;
  }

  /** @throws InvalidDataError where the key is missing, too */
  needInteger(key: string, min: number, max: number): number {
    const value = this.integer(key, min, max);
    if (value === undefined) throw new InvalidDataError(`${this.#where} lacks the key ${key}.`);
    return value;
  }

  strings(key: string): string[] | undefined {
    const isStrings = (value: GgufValue) =>
      Array.isArray(value) || (value instanceof Float64Array && value.length === 0);
    const value = this.#get(key, 'an array of strings', isStrings);
    return value === undefined ? undefined : [...(value as string[])];
  }

  numbers(key: string): Float64Array | undefined {
    return this.#get(key, 'an array of numbers', (value) => value instanceof Float64Array) as
      | Float64Array
      | undefined;
  }

  /** Whatever it is. */
  raw(key: string): GgufValue | undefined {
    return this.#values.get(key);
  }

  #get(key: string, expected: string, matches: (value: GgufValue) => boolean): GgufValue | undefined {
    const value = this.#values.get(key);
    if (value === undefined || matches(value)) return value;
    const came = typeof value === 'object' ? `an array of ${value.length}` : JSON.stringify(value);
    throw new InvalidDataError(`${this.#where}: ${key} is ${came.slice(0, 80)}. Expected ${expected}.`);
  }
}
