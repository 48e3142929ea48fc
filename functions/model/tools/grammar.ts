import { GrammarError } from '../../engine/engine.ts';
import { valueOfSchema } from '../../grammar/json-schema.ts';
import { literal, oneOf, Rules } from '../../grammar/rules.ts';
import { PromptError } from '../prompt-error.ts';
import { headOf, type ToolFormat } from './formats.ts';
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
  const allowed = typeof choice === 'object' ? tools.filter(({ name }) => name === choice.name) : tools;
  const bodies = allowed.map((tool) =>
    rules.name(callOf(format, tool, tools.indexOf(tool), rules), tool.name),
  );
  const body = rules.name(oneOf(bodies), 'call');
  const parallel = options.parallel && format.separator !== undefined && typeof choice !== 'object';
  const call = `${literal(format.begin)} ${body}`;
  const calls = parallel ? `${call} (${literal(format.separator!)} ${call})*` : call;
  if (choice !== 'auto') rules.define(root, calls);
  else if (text) rules.define(root, `${text(rules)} | ${calls}`);
  else if (format.trigger === undefined) rules.define(root, `${calls} | [^{] [^\\u0000]*`);
  else {
    const rest = rules.name(`${literal(format.begin.slice(format.trigger.length))} ${body}`, 'called');
    const loop = `loop_after_dispatch=${parallel}`;
    rules.define(root, `TagDispatch((${literal(format.trigger)}, ${rest}), ${loop})`);
  }
  return rules.toString();
}

/** A call from its JSON's beginning to its end. */
function callOf(format: ToolFormat, tool: Tool, index: number, rules: Rules): string {
  try {
    const parameters = valueOfSchema(argumentsSchema(tool.parameters), { strict: tool.strict }, rules);
    return `${literal(headOf(format, tool.name))} ${parameters} ${literal(`}${format.end}`)}`;
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
