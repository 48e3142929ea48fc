import { GrammarError } from '../../engine/engine.ts';
import { type PropertyForm, propertiesOfSchema, valueOfSchema } from '../../grammar/json-schema.ts';
import { literal, oneOf, Rules, repeat } from '../../grammar/rules.ts';
import { PromptError } from '../prompt-error.ts';
import { argumentTags } from './arguments.ts';
import { type CallForm, type ToolFormat, withName } from './formats.ts';
import type { CalledFunction, Tool, ToolChoice } from './tool.ts';

export interface ToolGrammarOptions {
  tools: readonly Tool[];
  choice: ToolChoice;
  /** More than one call in an answer. */
  parallel: boolean;
  /** A grammar's rule of answers without a call. @default any text */
  text?: (rules: Rules) => string;
}

export interface ToolGrammar {
  /** In XGrammar's notation. */
  ebnf: string;
  /** What may be called, for the parser of the answers. */
  functions: readonly CalledFunction[];
}

/**
 * A grammar of answers that may call, or have to. Once a call has begun, it is one of a tool that there is, with
 * arguments that meet its schema.
 * @throws PromptError for parameters that are no schema
 */
export function toolGrammar(format: ToolFormat, options: ToolGrammarOptions): ToolGrammar {
  const { tools, choice, text } = options;
  const rules = new Rules();
  const root = rules.reserve('root');
  const allowed = tools
    .map((tool, index) => ({ tool, index }))
    .filter(({ tool }) => typeof choice !== 'object' || tool.name === choice.name)
    .map(({ tool, index }) => allowedTool(tool, index, format, rules));
  const [form] = format.forms;
  const parallel = options.parallel && typeof choice !== 'object';
  const calls = callsOf(
    form,
    { tools: allowed, separator: parallel ? format.separator : undefined, parallel },
    rules,
  );
  if (choice !== 'auto') rules.define(root, calls);
  else if (text) rules.define(root, `${text(rules)} | ${calls}`);
  else if (form.trigger === undefined) rules.define(root, `"" | ${calls} | [^{] [^\\u0000]*`);
  else {
    const loops = parallel && format.separator !== undefined;
    const dispatches = dispatchesOf(format, { tools: allowed, parallel }, rules).join(', ');
    rules.define(root, `TagDispatch(${dispatches}, loop_after_dispatch=${loops})`);
  }
  return { ebnf: rules.toString(), functions: allowed };
}

interface AllowedTool extends CalledFunction {
  /** A rule of its arguments. */
  parameters: string;
}

interface Calls {
  tools: readonly AllowedTool[];
  /** Between two calls that stand in no list. */
  separator?: string | undefined;
  /** More than one call in a list. */
  parallel: boolean;
}

/** All calls of an answer. */
function callsOf(form: CallForm, { tools, separator, parallel }: Calls, rules: Rules, written = ''): string {
  const { list } = form;
  const call = rules.name(oneOf(tools.map((tool) => callOf(form, tool, list ? '' : written))), 'call');
  const between = list ? (parallel ? list.separator : undefined) : separator;
  const calls = between === undefined ? call : `${call} (${literal(between)} ${call})*`;
  return list ? `${literal(list.begin.slice(written.length))} ${calls} ${literal(list.end)}` : calls;
}

/** What has to follow each trigger. */
function dispatchesOf({ forms }: ToolFormat, calls: Calls, rules: Rules): string[] {
  const after = new Map<string, string[]>();
  for (const form of forms) {
    for (const tool of calls.tools) {
      const trigger = withName(form.trigger!, tool.name);
      const tools = form.list ? calls.tools : [tool];
      after.set(trigger, [...(after.get(trigger) ?? []), callsOf(form, { ...calls, tools }, rules, trigger)]);
    }
  }
  return [...after].map(([trigger, rests]) => `(${literal(trigger)}, ${rules.name(oneOf(rests), 'called')})`);
}

/** A call, without what was written of it already. */
function callOf({ begin, end }: CallForm, { name, parameters }: AllowedTool, written: string): string {
  return `${literal(withName(begin, name).slice(written.length))} ${parameters} ${literal(end)}`;
}

function allowedTool(tool: Tool, index: number, { forms }: ToolFormat, rules: Rules): AllowedTool {
  const { name, strict } = tool;
  const schema = argumentsSchema(tool.parameters);
  try {
    if (forms[0].arguments !== 'tags') {
      const parameters = rules.name(valueOfSchema(schema, { strict }, rules), `${name}_arguments`);
      return { name, parameters, texts: new Set() };
    }
    const properties = propertiesOfSchema(schema, { strict }, rules);
    const texts = properties.filter(({ isText }) => isText).map((property) => property.name);
    const parameters = rules.name(betweenTags(properties, rules), `${name}_arguments`);
    return { name, parameters, texts: new Set(texts) };
  } catch (error) {
    if (!(error instanceof GrammarError)) throw error;
    const param = `tools[${index}].function.parameters`;
    throw new PromptError(`${param}: ${error.message}`, 'invalid_grammar', param, { cause: error });
  }
}

/** Each argument between its tags, in the schema's order. */
function betweenTags(properties: readonly PropertyForm[], rules: Rules): string {
  const { begin, nameEnd, end } = argumentTags;
  const written = properties.map(({ name, isRequired, values }) => {
    const before = literal(begin + name + nameEnd);
    const anyText = `TagDispatch(stop_eos=false, stop_str=(${literal(end)}), loop_after_dispatch=false)`;
    const argument = rules.name(
      values === undefined
        ? `${before} ${rules.name(anyText, 'any_text')}`
        : `${before} ${values} ${literal(end)}`,
      name,
    );
    return repeat(argument, isRequired ? 1 : 0, 1);
  });
  return written.length === 0 ? '""' : written.join(' ');
}

/** No parameters means no arguments, as OpenAI has it; anything but an object is no arguments. */
function argumentsSchema(parameters: unknown): unknown {
  const none = { type: 'object', additionalProperties: false };
  if (parameters === undefined || parameters === null) return none;
  if (typeof parameters !== 'object' || Array.isArray(parameters)) return parameters;
  const { properties } = parameters as { properties?: object };
  const isEmpty = properties !== undefined && Object.keys(properties).length === 0;
  return { ...parameters, ...(isEmpty && { additionalProperties: false }), type: 'object' };
}
