import { equal, typesOf } from './merge.ts';
import { impossible, isObject, listAt, type Path, type SchemaContext, type SchemaObject } from './schema.ts';

/** Keywords about values that no grammar here can hold. */
const beyondGrammars = [
  ...['not', 'if', 'then', 'else', 'dependentRequired', 'dependentSchemas', 'dependencies'],
  ...['contains', 'minContains', 'maxContains', 'unevaluatedItems', '$dynamicRef', '$recursiveRef'],
];

/** What the schema says in vain. */
export function leftOut(schema: SchemaObject): string[] {
  const found = beyondGrammars.filter((keyword) => schema[keyword] !== undefined);
  const isWhole = schema.multipleOf === 1 && typesOf(schema.type).every((type) => type === 'integer');
  if (schema.multipleOf !== undefined && !isWhole) found.push('multipleOf');
  return found;
}

/** Keywords that may stand beside constants, whose values are checked against them. */
const checked = new Set(['type', 'enum', 'const']);
const ofValues = [
  ...['properties', 'required', 'additionalProperties', 'patternProperties', 'propertyNames'],
  ...['items', 'prefixItems', 'minItems', 'maxItems', 'uniqueItems', 'minProperties', 'maxProperties'],
  ...[
    'minLength',
    'maxLength',
    'pattern',
    'format',
    'minimum',
    'maximum',
    'exclusiveMinimum',
    'exclusiveMaximum',
  ],
];

/** The values of `enum` and `const` that are of the type; undefined where the schema has neither. */
export function allowedConstants(
  schema: SchemaObject,
  path: Path,
  context: SchemaContext,
): readonly unknown[] | undefined {
  const hasConstant = Object.hasOwn(schema, 'const');
  if (!hasConstant && schema.enum === undefined) return undefined;
  let values: readonly unknown[] = hasConstant ? [schema.const] : listAt(schema, 'enum', path);
  if (hasConstant && schema.enum !== undefined) {
    const others = listAt(schema, 'enum', path);
    values = values.filter((value) => others.some((other) => equal(value, other)));
  }
  if (schema.type !== undefined) {
    const types = typesOf(schema.type);
    values = values.filter((value) => types.some((type) => isOfType(value, type)));
  }
  const beside = ofValues.find((keyword) => !checked.has(keyword) && schema[keyword] !== undefined);
  if (beside !== undefined) context.leaveOut(path, `${beside} beside constants`);
  if (values.length === 0) throw impossible(path, 'it has no constant of its type');
  return values;
}

function isOfType(value: unknown, type: string): boolean {
  if (type === 'null') return value === null;
  if (type === 'array') return Array.isArray(value);
  if (type === 'object') return isObject(value);
  // biome-ignore lint/suspicious/noExplicitAny: typeof is compared with a name from a schema
  if (type === 'integer') return Number.isInteger(value as any);
  return typeof value === type;
}
