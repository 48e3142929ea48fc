import { colon, comma, jsonText } from '../json-text.ts';
import { literal, oneOf } from '../rules.ts';
import { keyExcept } from './key.ts';
import {
  asSchema,
  countAt,
  impossible,
  listAt,
  type Path,
  type Schema,
  type SchemaContext,
  type SchemaObject,
  schemasAt,
  unsupported,
} from './schema.ts';
import { stringOf } from './string.ts';

interface Property {
  /** `"key": value` */
  expression: string;
  isRequired: boolean;
}

/** Properties in the schema's order, those that are not required or left out, then others where they are asked for. */
export function objectOf(schema: SchemaObject, path: Path, context: SchemaContext): string {
  const { rules } = context;
  const declared = schemasAt(schema, 'properties', path).filter(([, property]) => property !== false);
  const required = new Set(listAt(schema, 'required', path).map(String));
  const additional = additionalOf(schema, path);
  const undeclared = [...required].filter((name) => !declared.some(([declared]) => declared === name));
  if (undeclared.length > 0 && (isClosed(schema) || isForbidden(schema, undeclared))) {
    throw impossible(path, `it requires ${undeclared.join(', ')}, which it does not allow`);
  }
  const patterns = schemasAt(schema, 'patternProperties', path);
  checkPatterns(declared, patterns, path);
  const properties = [
    ...declared.map(([name, value]) => ({ name, value, at: `${path}/properties/${name}` })),
    ...undeclared.map((name) => ({ name, value: additional || true, at: `${path}/additionalProperties` })),
  ].map(({ name, value, at }): Property => {
    const expression = `${literal(JSON.stringify(name))} ${colon} ${context.nested(value, at)}`;
    return { expression: rules.name(expression, name), isRequired: required.has(name) };
  });
  const names = [...declared.map(([name]) => name), ...undeclared];
  const other = otherEntry(schema, names, additional, patterns, path, context);
  const [least, most] = countsOf(schema, properties, other !== undefined, path, context);
  return rules.name(`"{" ${entries(properties, other, least, most, context)} "}"`, 'object');
}

/** An object without any properties may have all; one that has some gets others only where that is said. */
function additionalOf(schema: SchemaObject, path: Path): Schema {
  const isOpen = Object.keys((schema.properties as object | undefined) ?? {}).length === 0;
  const additional = schema.additionalProperties ?? schema.unevaluatedProperties;
  const isFree = isOpen && schema.patternProperties === undefined;
  return asSchema(additional ?? isFree, `${path}/additionalProperties`);
}

function isClosed(schema: SchemaObject): boolean {
  return (schema.additionalProperties ?? schema.unevaluatedProperties) === false;
}

function isForbidden(schema: SchemaObject, names: readonly string[]): boolean {
  const properties = (schema.properties ?? {}) as SchemaObject;
  return names.some((name) => properties[name] === false);
}

/** An entry beyond the properties, or undefined where there are none. */
function otherEntry(
  schema: SchemaObject,
  names: readonly string[],
  additional: Schema,
  patterns: readonly [string, unknown][],
  path: Path,
  context: SchemaContext,
): string | undefined {
  if (patterns.length > 0) {
    const [pattern, value] = patterns[0]!;
    const key = stringOf({ pattern }, `${path}/patternProperties`, context);
    return context.rules.name(
      `${key} ${colon} ${context.nested(value, `${path}/patternProperties`)}`,
      'entry',
    );
  }
  if (additional === false) return undefined;
  const key = otherKey(schema, names, path, context);
  return context.rules.name(
    `${key} ${colon} ${context.nested(additional, `${path}/additionalProperties`)}`,
    'entry',
  );
}

function otherKey(
  schema: SchemaObject,
  names: readonly string[],
  path: Path,
  context: SchemaContext,
): string {
  const keys = schema.propertyNames;
  if (keys !== undefined && keys !== true) {
    if (names.length === 0 && typeof keys === 'object' && keys !== null) {
      const rule = { type: 'string', ...keys };
      return context.nested(rule, `${path}/propertyNames`);
    }
    context.leaveOut(path, 'propertyNames beside properties');
  }
  return names.length > 0 ? keyExcept(names, context) : context.json.string;
}

/** Names that match a pattern would have to meet two schemas, keys that match two patterns as well. */
function checkPatterns(
  declared: readonly [string, unknown][],
  patterns: readonly [string, unknown][],
  path: Path,
): void {
  if (patterns.length > 1) throw unsupported(path, 'patternProperties of more than one pattern');
  for (const [pattern] of patterns) {
    let expression: RegExp;
    try {
      expression = new RegExp(pattern, 'u');
    } catch {
      continue; // the conversion says what is wrong with it
    }
    const name = declared.find(([name]) => expression.test(name));
    if (name) throw unsupported(path, `the property ${jsonText(name[0])} that matches a pattern`);
  }
}

/** How many of the other entries there may be. */
function countsOf(
  schema: SchemaObject,
  properties: readonly Property[],
  hasOthers: boolean,
  path: Path,
  context: SchemaContext,
): [least: number, most: number | undefined] {
  const required = properties.filter(({ isRequired }) => isRequired).length;
  const least = countAt(schema, 'minProperties', path) ?? 0;
  const most = countAt(schema, 'maxProperties', path);
  if (most !== undefined && (least > most || required > most)) {
    throw impossible(path, `maxProperties is ${most}`);
  }
  // Two entries of one key count as one: more than one cannot be had for sure.
  const missing = Math.max(least - required, 0);
  const isSure = missing === 0 || (hasOthers && missing === 1);
  if (!isSure) context.leaveOut(path, 'minProperties beyond what is required');
  const optional = properties.length - required;
  if (most === undefined) return [isSure ? missing : 0, undefined];
  const room = most - required;
  if (optional > room) context.leaveOut(path, 'maxProperties below the number of properties');
  return [isSure ? missing : 0, Math.max(room - optional, 0)];
}

/**
 * A chain of rules, one a property, for what may follow it: `first` where nothing was written yet, `rest` where a
 * comma is due.
 */
function entries(
  properties: readonly Property[],
  other: string | undefined,
  least: number,
  most: number | undefined,
  { rules }: SchemaContext,
): string {
  const isNone = other === undefined || most === 0;
  let rest = isNone ? '""' : `(${comma} ${other}){${least},${most ?? ''}}`;
  let first = isNone
    ? '""'
    : `${other} (${comma} ${other}){${Math.max(least - 1, 0)},${most === undefined ? '' : most - 1}}`;
  if (!isNone && least === 0) first = oneOf(['""', first]);
  for (const { expression, isRequired } of properties.toReversed()) {
    const [restHere, firstHere] = [`${comma} ${expression} ${rest}`, `${expression} ${rest}`];
    first = rules.name(isRequired ? firstHere : `${firstHere} | ${first}`, 'first');
    rest = rules.name(isRequired ? restHere : `${restHere} | ${rest}`, 'rest');
  }
  return first;
}
