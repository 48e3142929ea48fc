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
  listAt,
  type Path,
  type Schema,
  type SchemaContext,
  type SchemaObject,
  type TypeName,
  types,
  unsupported,
} from './schema/schema.ts';
import { stringOf } from './schema/string.ts';

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
