import { comma } from '../json-text.ts';
import { oneOf } from '../rules.ts';
import {
  asSchema,
  countAt,
  impossible,
  listAt,
  type Path,
  type SchemaContext,
  type SchemaObject,
} from './schema.ts';

/** Items one by one, in their places, then as many of the others as there may be. */
export function arrayOf(schema: SchemaObject, path: Path, context: SchemaContext): string {
  const isTuple = Array.isArray(schema.items); // before draft 2020-12
  const [places, others] = isTuple ? ['items', 'additionalItems'] : ['prefixItems', 'items'];
  const first = listAt(schema, places!, path);
  const rest = asSchema(schema[others!] ?? first.length === 0, `${path}/${others}`);
  const least = countAt(schema, 'minItems', path) ?? 0;
  const most = countAt(schema, 'maxItems', path) ?? Number.POSITIVE_INFINITY;
  if (least > most) throw impossible(path, `minItems is ${least}, maxItems ${most}`);
  // Items behind those in places are made where they are asked for, or where there is nothing else.
  const room = rest === false ? first.length : Number.POSITIVE_INFINITY;
  if (least > room && schema[others!] !== undefined) {
    throw impossible(path, `minItems is ${least}, and there is room for ${room}`);
  }
  if (schema.uniqueItems === true && most > 1) context.leaveOut(path, 'uniqueItems');
  const items = first
    .slice(0, Math.min(most, first.length))
    .map((item, place) => context.nested(item, `${path}/${places}/${place}`));
  const free = Math.min(most, least > room ? Math.max(least, room) : room) - items.length;
  const other = free > 0 ? context.nested(rest === false ? true : rest, `${path}/${others}`) : undefined;
  // What follows the last item in its place.
  let tail = other === undefined ? '""' : separated(other, Math.max(least - items.length, 0), free);
  for (let place = items.length - 1; place > 0; place--) {
    const more = `${comma} ${items[place]} ${tail}`;
    tail = context.rules.name(place < least ? more : `("" | ${more})`, 'items');
  }
  if (items.length > 0) {
    const some = `${items[0]} ${tail}`;
    return context.rules.name(`"[" ${least > 0 ? some : `("" | ${some})`} "]"`, 'array');
  }
  if (other === undefined) return '"[]"';
  const some = `${other} ${separated(other, Math.max(least - 1, 0), free - 1)}`;
  return context.rules.name(`"[" ${least > 0 ? some : oneOf(['""', some])} "]"`, 'array');
}

/** From `least` to `most` items, each after a comma. */
function separated(item: string, least: number, most: number): string {
  if (most === 0) return '""';
  return `(${comma} ${item}){${least},${Number.isFinite(most) ? most : ''}}`;
}
