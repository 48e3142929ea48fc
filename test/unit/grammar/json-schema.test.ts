import { afterAll, describe, expect, it } from 'vitest';
import { GrammarError } from '../../../functions/engine/engine.ts';
import { UnsupportedError } from '../../../functions/grammar/errors.ts';
import { grammarOfSchema } from '../../../functions/grammar/json-schema.ts';
import { GrammarWriter } from '../../fixtures/grammar-writer.ts';
import { seeded } from '../../fixtures/random-checkpoint.ts';

const writer = new GrammarWriter(seeded(1));
afterAll(() => writer[Symbol.dispose]());

const strict = (schema: unknown) => grammarOfSchema(schema, { strict: true });
const person = {
  type: 'object',
  properties: { name: { type: 'string' }, age: { type: 'integer', minimum: 0 }, tags: { type: 'array' } },
  required: ['name', 'age'],
};

describe('the grammar of a schema', () => {
  it.each<[string, unknown, string[], string[]]>([
    ['any value', {}, ['1', '"a"', '{"a": [null, 1.5e3]}', '[]'], ['', '{', '{"a":1}', '01', "'a'"]],
    [
      'an object',
      person,
      ['{"name": "a", "age": 1}', '{"name": "\\u00e4\\n", "age": 0, "tags": [1]}'],
      [
        '{"age": 1, "name": "a"}',
        '{"name": "a"}',
        '{"name": "a", "age": 1, "x": 1}',
        '{"name": "a", "age": -1}',
      ],
    ],
    ['an object of anything', { type: 'object' }, ['{}', '{"a": {"b": []}}'], ['[]', '1']],
    [
      'other properties, under other names',
      { properties: { ab: { type: 'null' } }, additionalProperties: { type: 'integer' } },
      ['{}', '{"ab": null, "a": 1, "abc": 2}', '{"a": 1}'],
      ['{"ab": 1}', '{"a": null}', '{"\\u0061b": 1}'],
    ],
    [
      'no other properties',
      { properties: { a: {} }, additionalProperties: false },
      ['{"a": 1}', '{}'],
      ['{"b": 1}'],
    ],
    [
      'a required property that is not declared',
      { required: ['a'] },
      ['{"a": 1}', '{"a": 1, "b": 2}'],
      ['{}'],
    ],
    ['a key that has to be escaped', { properties: { 'a"\n': {} } }, ['{"a\\"\\n": 1}'], ['{"a": 1}']],
    [
      'a map with a limit',
      { additionalProperties: true, maxProperties: 1 },
      ['{}', '{"a": 1}'],
      ['{"a": 1, "b": 1}'],
    ],
    [
      'a list',
      { items: { type: 'boolean' }, minItems: 1, maxItems: 2 },
      ['[true]', '[true, false]'],
      ['[]', '[true, true, true]', '[1]'],
    ],
    [
      'a tuple',
      { prefixItems: [{ type: 'null' }, { type: 'integer' }], items: false, minItems: 1 },
      ['[null]', '[null, 1]'],
      ['[]', '[1]', '[null, 1, 1]'],
    ],
    [
      "a tuple in draft 7's words",
      { items: [{ type: 'null' }], additionalItems: { type: 'integer' } },
      ['[]', '[null, 1, 2]'],
      ['[1]'],
    ],
    [
      'constants',
      { enum: ['a"b', 1, null, { x: [1] }] },
      ['"a\\"b"', '1', 'null', '{"x": [1]}'],
      ['2', '"a"'],
    ],
    ['constants of a type', { type: 'string', enum: ['a', 1] }, ['"a"'], ['1']],
    ['several types', { type: ['string', 'null'], maxLength: 1 }, ['"a"', '"\\n"', 'null'], ['"ab"', '1']],
    [
      'lengths in characters',
      { type: 'string', minLength: 2, maxLength: 2 },
      ['"äö"', '"日本"', '"\\"a"'],
      ['"a"', '"abc"', '"\\u0041b"'],
    ],
    ['a pattern found anywhere', { pattern: 'b+' }, ['"abc"', '"b"'], ['"a"', '""']],
    ['a pattern of the whole', { pattern: '^"[a-c]{2}\\\\$' }, ['"\\"ab\\\\"'], ['"\\"ab"', '"\\"abc\\\\"']],
    [
      'a date',
      { type: 'string', format: 'date' },
      ['"2024-02-28"', '"2023-12-31"'],
      ['"2023-02-30"', '"2023-13-01"', '"x"'],
    ],
    ['choices', { anyOf: [{ type: 'null' }, { type: 'string' }] }, ['null', '"a"'], ['1']],
    [
      'what choices have in common',
      {
        type: 'object',
        properties: { a: { type: 'integer' }, b: { type: 'null' } },
        anyOf: [{ required: ['a'] }, { required: ['b', 'c'] }],
      },
      ['{"a": 1}', '{"b": null, "c": []}', '{"a": 1, "b": null}'],
      ['{}', '{"b": null}', '{"a": null}'],
    ],
    [
      'schemas put together',
      {
        allOf: [
          { type: 'integer', minimum: 2 },
          { type: 'number', maximum: 3 },
        ],
      },
      ['2', '3'],
      ['1', '4', '2.5'],
    ],
    [
      'a reference to itself',
      {
        $ref: '#/$defs/n',
        $defs: {
          n: { properties: { n: { anyOf: [{ $ref: '#/$defs/n' }, { type: 'null' }] } }, required: ['n'] },
        },
      },
      ['{"n": null}', '{"n": {"n": null}}'],
      ['{}', 'null'],
    ],
    [
      'a reference with something beside it',
      { $ref: '#/$defs/a%20b', maximum: 3, $defs: { 'a b': { type: 'integer', minimum: 1 } } },
      ['1', '3'],
      ['0', '4'],
    ],
    [
      'bounds',
      { type: 'number', exclusiveMinimum: 0, maximum: 1.5 },
      ['0.1', '1.5', '1'],
      ['0', '0.0', '1.51', '2', '-1'],
    ],
    ["bounds in draft 4's words", { type: 'integer', minimum: 0, exclusiveMinimum: true }, ['1'], ['0']],
  ])('holds %s', async (_what, schema, yes, no) => {
    const grammar = strict(schema);
    for (const text of yes) expect(await writer.accepts(grammar, text), text).toBe(true);
    for (const text of no) expect(await writer.accepts(grammar, text), text).toBe(false);
  });

  it.each<[unknown, string]>([
    ['text', '#: a schema is an object, true or false'],
    [{ type: 'banana' }, '#/type: expected one of object, array'],
    [{ properties: { a: { minimum: 'x' } } }, '#/properties/a/minimum: expected a number'],
    [{ type: 'string', minLength: -1 }, '#/minLength: expected a whole number'],
    [{ properties: [] }, '#/properties: expected an object'],
    [{ $ref: '#/$defs/a' }, 'there is no #/$defs/a'],
    [{ $ref: '#' }, 'leads to itself'],
    [{ anyOf: [{ $ref: '#' }] }, 'leads to itself'],
    [false, 'it is false'],
    [{ type: 'integer', minimum: 3, maximum: 2 }, 'no number is within the bounds'],
    [{ allOf: [{ type: 'string' }, { type: 'null' }] }, 'type is empty'],
    [{ enum: [] }, 'no constant'],
    [{ pattern: '(' }, 'is no regular expression'],
    [{ properties: { a: {} }, required: ['b'], additionalProperties: false }, 'requires b'],
    [{ type: 'array', minItems: 2, maxItems: 1 }, 'minItems is 2, maxItems 1'],
    [nest(70), 'nested more than 64'],
    [bushy(), 'too large'],
  ])('refuses %j, whoever asks', (schema, reason) => {
    for (const strict of [true, false]) {
      expect(() => grammarOfSchema(schema, { strict })).toThrow(GrammarError);
      expect(() => grammarOfSchema(schema, { strict })).toThrow(reason);
    }
  });

  it.each<[object, string]>([
    [{ not: { type: 'null' } }, 'not'],
    [{ type: 'array', uniqueItems: true }, 'uniqueItems'],
    [{ type: 'array', contains: {} }, 'contains'],
    [{ type: 'integer', multipleOf: 3 }, 'multipleOf'],
    [{ if: {} }, 'if'],
    [{ type: 'string', format: 'banana' }, 'the format "banana"'],
    [{ pattern: '(?=a)a' }, 'a look-ahead'],
    [{ pattern: 'a\\b' }, 'a word boundary'],
    [{ pattern: 'a', minLength: 2 }, 'a length beside a pattern'],
    [{ oneOf: [{ type: 'integer' }, { type: 'number' }] }, 'may meet together'],
    [{ type: 'object', minProperties: 2 }, 'minProperties'],
  ])('says that %j cannot be held, where one insists', async (schema, what) => {
    expect(() => strict(schema)).toThrow(UnsupportedError);
    expect(() => strict(schema)).toThrow(what);
    expect(await writer.write(grammarOfSchema(schema, { strict: false }))).toBeDefined();
  });

  it('allows what XGrammar would read wrongly: many ways to begin with the same digit', async () => {
    const grammar = strict({ type: 'integer', minimum: 3151 });
    expect(await writer.accepts(grammar, '68')).toBe(false);
    expect(await writer.accepts(grammar, '3151')).toBe(true);
    expect(await writer.accepts(grammar, '99999')).toBe(true);
  });
});

function nest(depth: number): object {
  return depth === 0 ? { type: 'null' } : { type: 'array', items: nest(depth - 1) };
}

/** Schemas that are put together anew at each place. */
function bushy(): object {
  const properties = (count: number, value: object) =>
    Object.fromEntries(Array.from({ length: count }, (_, i) => [`p${i}`, value]));
  return {
    properties: properties(120, { $ref: '#/$defs/a', minProperties: 0 }),
    $defs: { a: { type: 'object', properties: properties(100, { type: 'null' }) } },
  };
}
