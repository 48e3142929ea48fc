import { GrammarError } from '../../engine/engine.ts';
import { asSchema, isObject, type Path, type Schema, unsupported } from './schema.ts';

/** The schema that `#/$defs/name` names. */
export function resolve(root: Schema, reference: unknown, path: Path): Schema {
  if (typeof reference !== 'string') throw new GrammarError(`${path}/$ref: expected a string.`);
  if (reference !== '#' && !reference.startsWith('#/')) {
    throw unsupported(path, `the reference ${JSON.stringify(reference)}, which is not of the form #/...,`);
  }
  let value: unknown = root;
  for (const part of reference.split('/').slice(1)) {
    const key = decoded(part).replaceAll('~1', '/').replaceAll('~0', '~');
    const inner: unknown = Array.isArray(value)
      ? value[Number(key)]
      : isObject(value)
        ? value[key]
        : undefined;
    if (inner === undefined || (isObject(value) && !Object.hasOwn(value, key))) {
      throw new GrammarError(`${path}/$ref: there is no ${reference} in the schema.`);
    }
    value = inner;
  }
  return asSchema(value, reference);
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
