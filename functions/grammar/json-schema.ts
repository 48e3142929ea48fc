import { GrammarError } from '../engine/engine.ts';
import { UnsupportedError } from './errors.ts';
import { JsonRules, jsonText } from './json-text.ts';
import { literal, oneOf, Rules } from './rules.ts';
import { arrayOf } from './schema/array.ts';
import { areDisjoint } from './schema/disjoint.ts';
import { allowedConstants, leftOut } from './schema/keywords.ts';
import { annotations, merge, typesOf } from './schema/merge.ts';
import { integerOf, numberOf } from './schema/number.ts';
import { objectOf } from './schema/object.ts';
import { resolve } from './schema/references.ts';
import {
  asSchema,
  impossible,
  isObject,
  listAt,
  type Path,
  type Schema,
  type SchemaContext,
  type SchemaObject,
  schemasAt,
  type TypeName,
  types,
  unsupported,
} from './schema/schema.ts';
import { plainStringOf, stringOf } from './schema/string.ts';

export interface SchemaOptions {
  /**
   * Refuses schemas that say what a grammar cannot hold. Else that is left out: the output may then not meet it.
   */
  strict: boolean;
}

/** Schemas within each other: more is no schema of a person, and would exhaust the stack. */
const maxDepth = 64;
/** Schemas that references lead through without a value between them. */
const maxReferences = 64;
/** Schemas that are converted for one grammar: those that are put together anew at each place may be many. */
const maxConversions = 10_000;

/**
 * A grammar of JSON values that meet a schema (draft 4 to 2020-12), on one line. Not every such value is in it:
 * properties come in the schema's order, and those it does not name only where it says so.
 * @throws GrammarError where it is no schema or nothing meets it; UnsupportedError
 */
export function grammarOfSchema(schema: unknown, options: SchemaOptions): string {
  const rules = new Rules();
  const root = rules.reserve('root');
  rules.define(root, valueOfSchema(schema, options, rules));
  return rules.toString();
}

/** An expression of the values that meet the schema, its rules among those of a larger grammar. */
export function valueOfSchema(schema: unknown, options: SchemaOptions, rules: Rules): string {
  const root = asSchema(schema, '#');
  return new Conversion(root, options, rules).value(root, '#', []);
}

/** A property of an object, for forms that write each by itself. */
export interface PropertyForm {
  name: string;
  isRequired: boolean;
  /** It is a string, which stands as it is; anything else is JSON. */
  isText: boolean;
  /** An expression of its values; undefined for any text. */
  values: string | undefined;
}

/**
 * The properties of an object that meets the schema, in the schema's order. Others cannot be written.
 * @throws GrammarError where it is no schema of an object or nothing meets it; UnsupportedError
 */
export function propertiesOfSchema(schema: unknown, options: SchemaOptions, rules: Rules): PropertyForm[] {
  return new Conversion(asSchema(schema, '#'), options, rules).properties();
}

class Conversion implements SchemaContext {
  readonly rules: Rules;
  readonly json: JsonRules;
  readonly #root: Schema;
  readonly #options: SchemaOptions;
  /** The rules of what references name. */
  readonly #named = new Map<string, string>();
  #depth = 0;
  #conversions = 0;

  constructor(root: Schema, options: SchemaOptions, rules: Rules) {
    this.#root = root;
    this.#options = options;
    this.rules = rules;
    this.json = new JsonRules(rules);
  }

  nested(schema: unknown, path: Path): string {
    if (this.#depth >= maxDepth)
      throw new GrammarError(`...${path.slice(-60)}: schemas are nested more than ${maxDepth} deep.`);
    this.#depth++;
    const expression = this.value(asSchema(schema, path), path, []);
    this.#depth--;
    return expression;
  }

  leaveOut(path: Path, what: string): void {
    if (this.#options.strict) throw unsupported(path, what);
  }

  /** @param through references on the way here, with no value between them */
  value(schema: Schema, path: Path, through: readonly string[]): string {
    if (++this.#conversions > maxConversions) {
      throw new GrammarError(`The schema is too large: it comes to more than ${maxConversions} schemas.`);
    }
    if (schema === true) return this.json.value;
    if (schema === false) throw impossible(path, 'it is false');
    if (schema.$ref !== undefined) return this.#reference(schema, path, through);
    if (schema.allOf !== undefined) return this.value(this.#allOf(schema, path, through), path, through);
    for (const keyword of ['anyOf', 'oneOf'] as const) {
      if (schema[keyword] !== undefined) return this.#choice(schema, keyword, path, through);
    }
    for (const keyword of leftOut(schema)) this.leaveOut(path, keyword);
    const constants = allowedConstants(schema, path, this);
    if (constants) return oneOf(constants.map((value) => literal(jsonText(value))));
    const alternatives = typeNames(schema, path).map((type) => this.#ofType(type, schema, path));
    return this.rules.choice(alternatives, 'type');
  }

  /** Of the root, which has to be an object. */
  properties(): PropertyForm[] {
    const path = '#';
    const schema = this.#whole(this.#root, path);
    if (!isObject(schema)) throw unsupported(path, 'a schema that names no properties');
    const said = Object.keys(schema).filter((keyword) => !annotations.has(keyword) && !ofNames.has(keyword));
    const { additionalProperties = false } = schema;
    if (additionalProperties !== false) said.push('additionalProperties');
    for (const keyword of said) this.leaveOut(path, `${keyword} of arguments that are written one by one`);
    const declared = schemasAt(schema, 'properties', path);
    const required = new Set(listAt(schema, 'required', path));
    for (const name of required) {
      if (!declared.some(([declared]) => declared === name))
        throw impossible(path, `it does not describe ${name}`);
    }
    return declared
      .filter(([, property]) => property !== false)
      .map(([name, property]) => ({
        name,
        isRequired: required.has(name),
        ...this.#propertyForm(property, `${path}/properties/${name}`),
      }));
  }

  #propertyForm(property: unknown, path: Path): Pick<PropertyForm, 'isText' | 'values'> {
    const schema = this.#whole(asSchema(property, path), path);
    if (!isObject(schema) || schema.anyOf !== undefined || schema.oneOf !== undefined)
      return { isText: false, values: this.nested(property, path) };
    for (const keyword of leftOut(schema)) this.leaveOut(path, keyword);
    const constants = allowedConstants(schema, path, this);
    if (constants?.every((value) => typeof value === 'string'))
      return { isText: true, values: oneOf(constants.map(literal)) };
    const isText = constants === undefined && typeNames(schema, path).every((type) => type === 'string');
    return { isText, values: isText ? plainStringOf(schema, path, this) : this.nested(property, path) };
  }

  /** Without references and `allOf`. */
  #whole(schema: Schema, path: Path): Schema {
    const resolved = this.#resolved(schema, path, []);
    return isObject(resolved) && resolved.allOf !== undefined
      ? this.#whole(this.#allOf(resolved, path, []), path)
      : resolved;
  }

  #ofType(type: TypeName, schema: SchemaObject, path: Path): string {
    switch (type) {
      case 'object':
        return objectOf(schema, path, this);
      case 'array':
        return arrayOf(schema, path, this);
      case 'string':
        return stringOf(schema, path, this);
      case 'integer':
        return integerOf(schema, path, this);
      case 'number':
        return numberOf(schema, path, this);
      case 'boolean':
        return this.json.boolean;
      case 'null':
        return '"null"';
    }
  }

  #reference({ $ref, ...rest }: SchemaObject, path: Path, through: readonly string[]): string {
    const name = String($ref);
    if (through.includes(name) || through.length >= maxReferences) {
      throw new GrammarError(`${path}: the reference ${name} leads to itself without a value between.`);
    }
    const target = resolve(this.#root, $ref, path);
    const inner = [...through, name];
    if (Object.keys(rest).some((keyword) => !annotations.has(keyword))) {
      return this.value(merge(target, rest, path), path, inner);
    }
    const known = this.#named.get(name);
    if (known !== undefined) return known;
    const rule = this.rules.reserve(name.split('/').at(-1) ?? 'definition');
    this.#named.set(name, rule);
    this.rules.define(rule, this.value(target, name, inner));
    return rule;
  }

  #allOf(
    { allOf: _, ...rest }: SchemaObject & { allOf?: unknown },
    path: Path,
    through: readonly string[],
  ): Schema {
    return listAt({ allOf: _ }, 'allOf', path).reduce<Schema>((merged, part, place) => {
      const at = `${path}/allOf/${place}`;
      return merge(merged, this.#resolved(asSchema(part, at), at, through), path);
    }, rest);
  }

  /** What it refers to, put together with what stands beside the reference. */
  #resolved(schema: Schema, path: Path, through: readonly string[]): Schema {
    if (typeof schema === 'boolean' || schema.$ref === undefined) return schema;
    const { $ref, ...rest } = schema;
    if (through.includes(String($ref)) || through.length >= maxReferences) {
      throw new GrammarError(`${path}: the reference ${$ref} leads to itself without a value between.`);
    }
    const target = resolve(this.#root, $ref, path);
    return merge(this.#resolved(target, path, [...through, String($ref)]), rest, path);
  }

  #choice(schema: SchemaObject, keyword: 'anyOf' | 'oneOf', path: Path, through: readonly string[]): string {
    const { [keyword]: _, ...base } = schema;
    const choices = listAt(schema, keyword, path).map((choice, place) => {
      const at = `${path}/${keyword}/${place}`;
      return this.#resolvedFor(base, asSchema(choice, at), at, through);
    });
    if (keyword === 'oneOf' && !areDisjoint(choices.map((choice) => this.#resolved(choice, path, through)))) {
      this.leaveOut(path, 'oneOf of schemas that a value may meet together');
    }
    const expressions: string[] = [];
    let refusal: GrammarError | undefined;
    for (const [place, choice] of choices.entries()) {
      try {
        expressions.push(this.value(choice, `${path}/${keyword}/${place}`, through));
      } catch (error) {
        if (!(error instanceof GrammarError) || error instanceof UnsupportedError) throw error;
        refusal ??= error;
      }
    }
    if (expressions.length === 0) throw refusal ?? impossible(path, `${keyword} is empty`);
    return this.rules.choice(expressions, 'choice');
  }

  /** A choice alone keeps its reference, whose rule others may share. */
  #resolvedFor(base: SchemaObject, choice: Schema, path: Path, through: readonly string[]): Schema {
    const isBare = Object.keys(base).every((keyword) => annotations.has(keyword));
    return isBare ? choice : merge(base, this.#resolved(choice, path, through), path);
  }
}

/** Keywords that say which properties an object has. */
const ofNames = new Set(['type', 'properties', 'required', 'additionalProperties']);

/** Keywords by the type they speak of. */
const speakOf: readonly (readonly [TypeName, readonly string[]])[] = [
  ['object', ['properties', 'required', 'additionalProperties', 'patternProperties', 'propertyNames']],
  ['object', ['minProperties', 'maxProperties', 'unevaluatedProperties']],
  ['array', ['items', 'prefixItems', 'minItems', 'maxItems', 'additionalItems']],
  ['string', ['minLength', 'maxLength', 'pattern', 'format']],
  ['number', ['minimum', 'maximum', 'exclusiveMinimum', 'exclusiveMaximum']],
];

/** Without a type, the one that the keywords are about; where there are none, all. */
function typeNames(schema: SchemaObject, path: Path): readonly TypeName[] {
  if (schema.type === undefined) {
    const found = speakOf.find(([, keywords]) => keywords.some((keyword) => schema[keyword] !== undefined));
    return found ? [found[0]] : types.filter((type) => type !== 'integer');
  }
  const names = typesOf(schema.type);
  const unknown = names.find((name) => !(types as readonly unknown[]).includes(name));
  if (unknown !== undefined) {
    throw new GrammarError(
      `${path}/type: expected one of ${types.join(', ')}, got ${JSON.stringify(unknown)}.`,
    );
  }
  if (names.length === 0) throw impossible(path, 'type is empty');
  return names as TypeName[];
}
