import { GrammarError } from '../../engine/engine.ts';
import { valueOfSchema } from '../../grammar/json-schema.ts';
import { literal, oneOf, Rules } from '../../grammar/rules.ts';
import { PromptError } from '../prompt-error.ts';
import { type CallForm, type ToolFormat, withName } from './formats.ts';
import type { Tool, ToolChoice } from './tool.ts';

export interface ToolGrammarOptions {
  tools: readonly Tool[];
  choice: ToolChoice;
  /** More than one call in an answer. */
  parallel: boolean;
  /** A grammar's rule of answers without a call. @default any text */
  text?: (rules: Rules) => string;
}

/**
 * A grammar of answers that may call, or have to. Once a call has begun, it is one of a tool that there is, with
 * arguments that meet its schema.
 * @throws PromptError for parameters that are no schema
 */
export function toolGrammar(format: ToolFormat, options: ToolGrammarOptions): string {
  const { tools, choice, text } = options;
  const rules = new Rules();
  const root = rules.reserve('root');
  const allowed = tools
    .map((tool, index) => ({ name: tool.name, parameters: parametersOf(tool, index, rules) }))
    .filter(({ name }) => typeof choice !== 'object' || name === choice.name);
  const [form] = format.forms;
  const call = rules.name(oneOf(allowed.map((tool) => callOf(form, tool))), 'call');
  const parallel = options.parallel && format.separator !== undefined && typeof choice !== 'object';
  const calls = parallel ? `${call} (${literal(format.separator!)} ${call})*` : call;
  if (choice !== 'auto') rules.define(root, calls);
  else if (text) rules.define(root, `${text(rules)} | ${calls}`);
  else if (form.trigger === undefined) rules.define(root, `"" | ${calls} | [^{] [^\\u0000]*`);
  else {
    const dispatches = dispatchesOf(format, allowed, rules).join(', ');
    rules.define(root, `TagDispatch(${dispatches}, loop_after_dispatch=${parallel})`);
  }
  return rules.toString();
}

interface AllowedTool {
  name: string;
  /** A rule of its arguments. */
  parameters: string;
}

/** What has to follow each trigger. */
function dispatchesOf({ forms }: ToolFormat, tools: readonly AllowedTool[], rules: Rules): string[] {
  const after = new Map<string, string[]>();
  for (const form of forms) {
    for (const tool of tools) {
      const trigger = withName(form.trigger!, tool.name);
      after.set(trigger, [...(after.get(trigger) ?? []), callOf(form, tool, trigger)]);
    }
  }
  return [...after].map(([trigger, rests]) => `(${literal(trigger)}, ${rules.name(oneOf(rests), 'called')})`);
}

/** A call, without what was written of it already. */
function callOf({ begin, end }: CallForm, { name, parameters }: AllowedTool, written = ''): string {
  return `${literal(withName(begin, name).slice(written.length))} ${parameters} ${literal(end)}`;
}

function parametersOf({ name, parameters, strict }: Tool, index: number, rules: Rules): string {
  try {
    return rules.name(valueOfSchema(argumentsSchema(parameters), { strict }, rules), `${name}_arguments`);
  } catch (error) {
    if (!(error instanceof GrammarError)) throw error;
    const param = `tools[${index}].function.parameters`;
    throw new PromptError(`${param}: ${error.message}`, 'invalid_grammar', param, { cause: error });
  }
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
