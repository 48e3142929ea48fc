import { equal, typesOf } from './merge.ts';
import { isObject, type Schema } from './schema.ts';

/** Whether no value can meet two of the schemas, as far as that can be seen: by type, or by a property's constants. */
export function areDisjoint(schemas: readonly Schema[]): boolean {
  return schemas.every((a, i) => schemas.slice(i + 1).every((b) => twoAreDisjoint(a, b)));
}

function twoAreDisjoint(a: Schema, b: Schema): boolean {
  if (a === false || b === false) return true;
  if (a === true || b === true) return false;
  const [valuesA, valuesB] = [constantsOf(a), constantsOf(b)];
  if (valuesA && valuesB) return !valuesA.some((value) => valuesB.some((other) => equal(value, other)));
  if (a.type !== undefined && b.type !== undefined) {
    const wide = (type: unknown) => typesOf(type).map((name) => (name === 'integer' ? 'number' : name));
    if (!wide(a.type).some((type) => wide(b.type).includes(type))) return true;
  }
  const [propertiesA, propertiesB] = [a.properties, b.properties];
  if (!isObject(propertiesA) || !isObject(propertiesB)) return false;
  const isRequired = (schema: object, name: string) => {
    const { required } = schema as { required?: unknown };
    return Array.isArray(required) && required.includes(name);
  };
  return Object.keys(propertiesA).some((name) => {
    if (!isRequired(a, name) || !isRequired(b, name)) return false;
    const [ofA, ofB] = [propertiesA[name], propertiesB[name]];
    return isObject(ofA) && isObject(ofB) && twoAreDisjoint(ofA, ofB);
  });
}

function constantsOf(schema: object): readonly unknown[] | undefined {
  if ('const' in schema) return [schema.const];
  return 'enum' in schema && Array.isArray(schema.enum) ? schema.enum : undefined;
}
