import { z } from 'zod';
import { GrammarError } from '../../engine/engine.ts';
import { grammarOfChoices, portableGrammar } from '../../grammar/ebnf.ts';
import { grammarOfSchema } from '../../grammar/json-schema.ts';
import { grammarOfWholeRegex } from '../../grammar/regex.ts';
import type { RequestGrammar } from '../../model/generate.ts';
import { PromptError } from '../../model/prompt-error.ts';
import { orDefault } from './fields.ts';

/** Texts to choose from: each is a branch of the grammar. */
const maxChoices = 1024;

/** Its own rules are checked when it becomes a grammar; as a string it is JSON, which vLLM takes too. */
const schema = z.union([z.record(z.string(), z.unknown()), z.boolean(), z.string().transform(parsed)], {
  error: 'should be a JSON schema, as an object or as text',
});

function parsed(text: string, context: z.RefinementCtx): unknown {
  try {
    return JSON.parse(text);
  } catch {
    context.addIssue('is no JSON');
    return z.NEVER;
  }
}

const choices = z.array(z.string()).min(1).max(maxChoices);

const responseFormat = z.discriminatedUnion(
  'type',
  [
    z.object({ type: z.literal('text') }),
    /** llama.cpp takes a schema here as well. */
    z.object({ type: z.literal('json_object'), schema: orDefault(schema, undefined) }),
    z.object({
      type: z.literal('json_schema'),
      json_schema: z.object({
        name: orDefault(z.string(), undefined),
        schema: orDefault(schema, undefined),
        strict: orDefault(z.boolean(), false),
      }),
    }),
  ],
  { error: 'should be an object whose type is text, json_object or json_schema' },
);

/** What the text has to be: OpenAI's field, vLLM's in its newer and older form, llama.cpp's. */
export const structuredFields = {
  response_format: orDefault(responseFormat, undefined),
  structured_outputs: orDefault(
    z.object({
      json: orDefault(schema, undefined),
      json_object: orDefault(z.boolean(), false),
      regex: orDefault(z.string(), undefined),
      choice: orDefault(choices, undefined),
      grammar: orDefault(z.string(), undefined),
    }),
    undefined,
  ),
  guided_json: orDefault(schema, undefined),
  guided_regex: orDefault(z.string(), undefined),
  guided_choice: orDefault(choices, undefined),
  guided_grammar: orDefault(z.string(), undefined),
  json_schema: orDefault(schema, undefined),
  grammar: orDefault(z.string(), undefined),
};

type StructuredFields = z.infer<z.ZodObject<typeof structuredFields>>;

export interface Structure {
  /** The request's field it came from. */
  param: string;
  form: { schema: unknown; strict: boolean } | { regex: string } | { choices: string[] } | { ebnf: string };
}

/**
 * What the text has to be; undefined where it may be anything.
 * @throws PromptError where the request says it twice
 */
export function structureOf(fields: StructuredFields): Structure | undefined {
  const found = [...structures(fields)];
  if (found.length > 1) {
    const [one, other] = found as [Structure, Structure];
    const message = `${one.param} and ${other.param} both say what the text has to be. Leave one out.`;
    throw new PromptError(message, 'invalid_value', other.param);
  }
  return found[0];
}

function* structures(fields: StructuredFields): Generator<Structure> {
  const { response_format: format, structured_outputs: outputs } = fields;
  if (format?.type === 'json_object') yield json('response_format', format.schema ?? { type: 'object' });
  if (format?.type === 'json_schema') {
    const { schema = {}, strict } = format.json_schema;
    yield { param: 'response_format.json_schema.schema', form: { schema, strict } };
  }
  const outside = [
    ['structured_outputs.json', outputs?.json],
    ['structured_outputs.json_object', outputs?.json_object ? { type: 'object' } : undefined],
    ['guided_json', fields.guided_json],
    ['json_schema', fields.json_schema],
  ] as const;
  for (const [param, schema] of outside) if (schema !== undefined) yield json(param, schema);
  const regexes = { 'structured_outputs.regex': outputs?.regex, guided_regex: fields.guided_regex };
  for (const [param, regex] of Object.entries(regexes))
    if (regex !== undefined) yield { param, form: { regex } };
  const lists = { 'structured_outputs.choice': outputs?.choice, guided_choice: fields.guided_choice };
  for (const [param, choices] of Object.entries(lists)) if (choices) yield { param, form: { choices } };
  const grammars = {
    'structured_outputs.grammar': outputs?.grammar,
    guided_grammar: fields.guided_grammar,
    grammar: fields.grammar,
  };
  for (const [param, ebnf] of Object.entries(grammars))
    if (ebnf !== undefined) yield { param, form: { ebnf } };
}

const json = (param: string, schema: unknown): Structure => ({ param, form: { schema, strict: true } });

/** @throws PromptError where it is no schema, expression or grammar */
export function grammarOf({ param, form }: Structure): RequestGrammar {
  try {
    return { param, ebnf: ebnfOf(form) };
  } catch (error) {
    throw error instanceof GrammarError ? invalidGrammar(param, error) : error;
  }
}

function ebnfOf(form: Structure['form']): string {
  if ('regex' in form) return grammarOfWholeRegex(form.regex);
  if ('choices' in form) return grammarOfChoices(form.choices);
  if ('ebnf' in form) return portableGrammar(form.ebnf);
  return grammarOfSchema(form.schema, { strict: form.strict });
}

export function invalidGrammar(param: string, cause: GrammarError): PromptError {
  return new PromptError(`${param}: ${cause.message}`, 'invalid_grammar', param, { cause });
}
