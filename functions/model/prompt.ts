import { type ChatMessage, TemplateRefusal } from '../../artifact/chat-template.ts';
import type { Tokenizer } from '../../artifact/tokenizer.ts';
import { encodeInTurns } from '../text/encode-in-turns.ts';
import type { PromptModel } from './loaded-model.ts';
import { contextOverflow, PromptError } from './prompt-error.ts';

/** Characters looked at for each token of context: twice what a token of prose has. */
const probedCharacters = 8;
/** Tokens that a text cut in the middle of a word may have more than the whole. */
const cutTokens = 8;

export interface TextOptions {
  /** The request's field that the text came from, for errors. */
  param: string;
  addSpecialTokens: boolean;
}

/** A part of a prompt as tokens, none for no text. @throws PromptError for more than the context holds */
export async function encodeText(
  model: PromptModel,
  text: string,
  { param, addSpecialTokens }: TextOptions,
): Promise<number[]> {
  const { contextLength } = model.engine.limits;
  const fewest = await fewestTokens(model, text);
  if (fewest > contextLength) throw contextOverflow(fewest, contextLength, param);
  return await encodeInTurns(model.tokenizer, text, { addSpecialTokens });
}

/**
 * A text's tokens.
 * @throws PromptError where it has none, or more than the context holds.
 */
export async function encodePrompt(
  model: PromptModel,
  text: string,
  options: TextOptions,
): Promise<number[]> {
  const { contextLength } = model.engine.limits;
  const { param } = options;
  const tokens = await encodeText(model, text, options);
  if (tokens.length === 0 && model.bos !== undefined) tokens.push(model.bos);
  if (tokens.length === 0) {
    const message = `${param} holds no token: this model needs some text to go on from.`;
    throw new PromptError(message, 'invalid_value', param);
  }
  if (tokens.length >= contextLength) throw contextOverflow(tokens.length, contextLength, param);
  return tokens;
}

/**
 * A lower bound of a text's tokens. Tokenizing takes about 2 microseconds a character, on the thread that
 * serves everyone: a text that cannot fit should not be tokenized as a whole to find that out.
 */
async function fewestTokens({ longestToken, tokenizer, engine }: PromptModel, text: string): Promise<number> {
  const byLength = Math.ceil(text.length / longestToken);
  const beginning = engine.limits.contextLength * probedCharacters;
  if (byLength > engine.limits.contextLength || text.length <= beginning) return byLength;
  return Math.max(byLength, await tokensAtStart(tokenizer, text.slice(0, beginning)));
}

/** What the text's beginning alone makes, less what the cut may have added to it. */
async function tokensAtStart(tokenizer: Tokenizer, beginning: string): Promise<number> {
  const tokens = await encodeInTurns(tokenizer, beginning, { addSpecialTokens: false });
  return tokens.length - cutTokens;
}

/**
 * The tokens of a conversation, up to where the model's answer begins.
 * @throws PromptError where the model has no chat template, or one that refuses these messages.
 */
export async function encodeChat(
  model: PromptModel,
  messages: readonly ChatMessage[],
  options: ChatOptions = {},
): Promise<number[]> {
  const text = renderChat(model, messages, options);
  return await encodePrompt(model, text, { param: options.param ?? 'messages', addSpecialTokens: false });
}

export interface ChatOptions {
  /** The request's field that the messages came from, for errors. @default 'messages' */
  param?: string;
  /** Whether the model is to answer. @default true */
  answer?: boolean;
  /** What the answer begins with: the model goes on from there. @default '' */
  begun?: string;
  /** What the model may call, as OpenAI's `tools` has it. @default none */
  tools?: readonly object[] | undefined;
}

/**
 * A conversation as the model reads it.
 * @throws PromptError where the model has no chat template, or one that refuses these messages.
 */
export function renderChat(
  model: PromptModel,
  messages: readonly ChatMessage[],
  { param = 'messages', answer = true, begun = '', tools }: ChatOptions = {},
): string {
  if (!model.chatTemplate) {
    const problem =
      model.chatTemplateProblem ??
      `Model ${model.name} has no chat template: it continues texts and was never taught to chat.`;
    throw new PromptError(problem, 'chat_not_supported', 'model');
  }
  try {
    return model.chatTemplate.render(messages, { answer, tools }) + begun;
  } catch (error) {
    if (!(error instanceof TemplateRefusal)) throw error;
    const message = `The model's chat template refuses these messages: ${error.message}`;
    throw new PromptError(message, 'invalid_messages', param, { cause: error });
  }
}
