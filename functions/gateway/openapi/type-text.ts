import type { JsonSchema } from './document.ts';

/** A schema in a few words: `number, 0 to 2`, `string or array of integers`. That null is taken goes without saying. */
export function typeText(schema: JsonSchema): string {
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(', ');
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  const choices = schema.anyOf ?? schema.oneOf;
  if (choices) {
    const kinds = choices.map(typeText).filter((text) => text !== '');
    return [...new Set(kinds)].join(' or ');
  }
  const types = [schema.type ?? 'anything'].flat().filter((type) => type !== 'null');
  return types.map((type) => (type === 'array' ? arrayText(schema) : type + boundsText(schema))).join(' or ');
}

function arrayText({ items = {} }: JsonSchema): string {
  const { type = 'value' } = items;
  return items.anyOf || Array.isArray(type) ? 'array' : `array of ${type}s`;
}

/** zod writes the whole numbers that a double holds; as a limit they say nothing. */
function boundsText({ minimum, maximum, exclusiveMinimum }: JsonSchema): string {
  const from = minimum === Number.MIN_SAFE_INTEGER ? undefined : minimum;
  const to = maximum === Number.MAX_SAFE_INTEGER || maximum === 2 ** 31 - 1 ? undefined : maximum;
  const low = exclusiveMinimum === undefined ? from : `over ${exclusiveMinimum}`;
  if (low !== undefined && to !== undefined) return `, ${low} to ${to}`;
  if (low !== undefined) return `, ${low} or more`;
  return to === undefined ? '' : `, up to ${to}`;
}
