import {
  isObject,
  type Path,
  type Schema,
  type SchemaObject,
  type TypeName,
  types,
  unsupported,
} from './schema.ts';

/** Keywords whose lower or higher value is the stricter one. */
const lowest = ['maximum', 'exclusiveMaximum', 'maxLength', 'maxItems', 'maxProperties'];
const highest = ['minimum', 'exclusiveMinimum', 'minLength', 'minItems', 'minProperties'];
/** Keywords that say nothing about a value. */
export const annotations = new Set([
  ...[
    'title',
    'description',
    'default',
    'examples',
    'example',
    'deprecated',
    'readOnly',
    'writeOnly',
    'nullable',
  ],
  ...['$schema', '$id', 'id', '$comment', '$defs', 'definitions', '$anchor', 'discriminator', 'xml'],
  ...['contentEncoding', 'contentMediaType', 'contentSchema', 'externalDocs'],
]);

/** One schema for what meets both. @throws UnsupportedError where they cannot be put together */
export function merge(a: Schema, b: Schema, path: Path): Schema {
  if (a === true || b === true) return a === true ? b : a;
  if (a === false || b === false) return false;
  const merged: Record<string, unknown> = { ...a };
  for (const [keyword, value] of Object.entries(b)) {
    const other = a[keyword];
    merged[keyword] = other === undefined ? value : both(keyword, other, value, path);
  }
  if (a.properties !== undefined || b.properties !== undefined) {
    merged.properties = mergedProperties(a, b, path);
  }
  return merged;
}

function both(keyword: string, a: unknown, b: unknown, path: Path): unknown {
  if (annotations.has(keyword) || equal(a, b)) return a;
  if (lowest.includes(keyword) && typeof a === 'number' && typeof b === 'number') return Math.min(a, b);
  if (highest.includes(keyword) && typeof a === 'number' && typeof b === 'number') return Math.max(a, b);
  if (keyword === 'type') return bothTypes(a, b);
  if (keyword === 'required') return [...new Set([...(a as string[]), ...(b as string[])])];
  if (keyword === 'enum')
    return (a as unknown[]).filter((value) => (b as unknown[]).some((other) => equal(value, other)));
  if (keyword === 'properties') return a; // put together below
  if (keyword === 'allOf') return [...(a as unknown[]), ...(b as unknown[])];
  if (['additionalProperties', 'items', 'propertyNames', 'unevaluatedProperties'].includes(keyword))
    return { allOf: [a, b] };
  throw unsupported(path, `${keyword} in two schemas that both have to be met`);
}

/** A property that only one side names has to meet what the other side says of properties it does not name. */
function mergedProperties(a: SchemaObject, b: SchemaObject, path: Path): Record<string, unknown> {
  const [ofA, ofB] = [a, b].map(({ properties }) => (isObject(properties) ? properties : {})) as [
    SchemaObject,
    SchemaObject,
  ];
  const merged: Record<string, unknown> = {};
  for (const name of new Set([...Object.keys(ofA), ...Object.keys(ofB)])) {
    const sides = [ofA[name] ?? a.additionalProperties ?? true, ofB[name] ?? b.additionalProperties ?? true];
    const said = sides.filter((side) => side !== true);
    merged[name] = said.includes(false) ? false : said.length === 2 ? { allOf: said } : (said[0] ?? true);
  }
  if ([a, b].some((side) => side.patternProperties !== undefined)) {
    throw unsupported(path, 'patternProperties beside other schemas that have to be met');
  }
  return merged;
}

function bothTypes(a: unknown, b: unknown): TypeName[] {
  const [ofA, ofB] = [typesOf(a), typesOf(b)];
  const meets = (list: readonly string[], type: string) =>
    list.includes(type) || (type === 'integer' && list.includes('number'));
  return types.filter((type) => meets(ofA, type) && meets(ofB, type));
}

export function typesOf(type: unknown): readonly string[] {
  return (Array.isArray(type) ? type : [type]) as string[];
}

/** Equal as JSON values, whatever the order of keys. */
export function equal(a: unknown, b: unknown): boolean {
  return canonical(a) === canonical(b);
}

function canonical(value: unknown): string {
  return JSON.stringify(value, (_key, inner) =>
    isObject(inner) ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1))) : inner,
  );
}
