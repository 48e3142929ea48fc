import { GrammarError } from '../../engine/engine.ts';
import { UnsupportedError } from '../errors.ts';
import type { JsonRules } from '../json-text.ts';
import type { Rules } from '../rules.ts';

export type SchemaObject = Readonly<Record<string, unknown>>;
export type Schema = SchemaObject | boolean;

export const types = ['object', 'array', 'string', 'integer', 'number', 'boolean', 'null'] as const;
export type TypeName = (typeof types)[number];

/** Where a schema stands: `#/properties/name`. */
export type Path = string;

/** What the parts of the conversion share. */
export interface SchemaContext {
  readonly rules: Rules;
  readonly json: JsonRules;
  /** The expression of a value that is nested in another one. */
  nested(schema: unknown, path: Path): string;
  /** For what a grammar cannot hold. @throws UnsupportedError where the caller insists on it */
  leaveOut(path: Path, what: string): void;
}

export function isObject(value: unknown): value is SchemaObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export function asSchema(value: unknown, path: Path): Schema {
  if (typeof value === 'boolean' || isObject(value)) return value;
  throw new GrammarError(`${path}: a schema is an object, true or false, not ${JSON.stringify(value)}.`);
}

/** @returns undefined where it is absent */
export function numberAt(schema: SchemaObject, keyword: string, path: Path): number | undefined {
  const value = schema[keyword];
  if (value === undefined || (typeof value === 'number' && Number.isFinite(value))) return value;
  throw new GrammarError(`${path}/${keyword}: expected a number, got ${JSON.stringify(value)}.`);
}

/** @returns undefined where it is absent */
export function countAt(schema: SchemaObject, keyword: string, path: Path): number | undefined {
  const value = numberAt(schema, keyword, path);
  if (value === undefined || (Number.isSafeInteger(value) && value >= 0)) return value;
  throw new GrammarError(`${path}/${keyword}: expected a whole number from 0 on, got ${value}.`);
}

/** @returns undefined where it is absent */
export function stringAt(schema: SchemaObject, keyword: string, path: Path): string | undefined {
  const value = schema[keyword];
  if (value === undefined || typeof value === 'string') return value;
  throw new GrammarError(`${path}/${keyword}: expected a string, got ${JSON.stringify(value)}.`);
}

/** Schemas by name; none where it is absent. */
export function schemasAt(schema: SchemaObject, keyword: string, path: Path): [string, unknown][] {
  const value = schema[keyword] ?? {};
  if (isObject(value)) return Object.entries(value);
  throw new GrammarError(`${path}/${keyword}: expected an object of schemas, got ${JSON.stringify(value)}.`);
}

export function listAt(schema: SchemaObject, keyword: string, path: Path): readonly unknown[] {
  const value = schema[keyword] ?? [];
  if (Array.isArray(value)) return value;
  throw new GrammarError(`${path}/${keyword}: expected an array, got ${JSON.stringify(value)}.`);
}

/** No value meets the schema. */
export function impossible(path: Path, why: string): GrammarError {
  return new GrammarError(`${path}: no value meets this schema: ${why}.`);
}

export function unsupported(path: Path, what: string): UnsupportedError {
  return new UnsupportedError(`${path}: ${what} is not supported.`);
}
