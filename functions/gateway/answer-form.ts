import type { ChatMessage } from '../../artifact/chat-template.ts';
import { GrammarError } from '../engine/engine.ts';
import { valueOfSchema } from '../grammar/json-schema.ts';
import type { RequestGrammar } from '../model/generate.ts';
import type { LoadedModel } from '../model/loaded-model.ts';
import { PromptError } from '../model/prompt-error.ts';
import { type ToolFormat, toolFormatOf } from '../model/tools/formats.ts';
import { toolGrammar } from '../model/tools/grammar.ts';
import type { Tool, ToolChoice } from '../model/tools/tool.ts';
import type { PossibleCalls } from '../model/tools/tool-call-text.ts';
import { grammarOf, invalidGrammar, type Structure } from './schemas/structured.ts';

export interface AskedForm {
  messages: readonly ChatMessage[];
  /** What the model may call: none where it is to call nothing. */
  tools: readonly Tool[];
  choice: ToolChoice;
  /** More than one call in an answer. */
  parallel: boolean;
  /** What the text of an answer has to be. */
  structure?: Structure | undefined;
}

export interface AnswerForm {
  grammar?: RequestGrammar;
  calls?: PossibleCalls;
}

/**
 * What an answer has to be: a structure, calls of tools, or one of both.
 * @throws PromptError where the model's template has no tools, or something is no schema
 */
export function answerForm(model: LoadedModel, asked: AskedForm): AnswerForm {
  const { tools, structure } = asked;
  if (!model.chatTemplate) return {}; // encoding the chat says so
  if (tools.length === 0) {
    if (asked.messages.some(isAboutTools)) requireFormat(model, 'messages');
    return structure ? { grammar: grammarOf(structure) } : {};
  }
  const format = requireFormat(model, 'tools');
  const param = structure && asked.choice === 'auto' ? structure.param : 'tools';
  const { ebnf, functions } = toolGrammar(format, { ...asked, ...textOf(structure) });
  return { calls: { format, functions }, grammar: { ebnf, param } };
}

/** The rule of an answer that calls nothing. */
function textOf(structure: Structure | undefined): Pick<Parameters<typeof toolGrammar>[1], 'text'> {
  if (!structure) return {};
  const { form, param } = structure;
  if (!('schema' in form)) {
    const message = `${param} is not supported together with tools: only JSON schemas are. Leave one out.`;
    throw new PromptError(message, 'invalid_value', param);
  }
  return {
    text(rules) {
      try {
        return valueOfSchema(form.schema, { strict: form.strict }, rules);
      } catch (error) {
        throw error instanceof GrammarError ? invalidGrammar(param, error) : error;
      }
    },
  };
}

function isAboutTools({ role, tool_calls: calls }: ChatMessage): boolean {
  return role === 'tool' || calls !== undefined;
}

function requireFormat(model: LoadedModel, param: string): ToolFormat {
  const template = model.chatTemplate?.source ?? '';
  const format = toolFormatOf(template);
  if (format) return format;
  const problem = /\btools\b/.test(template)
    ? 'has tools in a form that is not known here'
    : 'does not know tools';
  throw new PromptError(`The chat template of ${model.name} ${problem}.`, 'tools_not_supported', param);
}
