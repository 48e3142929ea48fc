import type { ChatMessage } from '../../artifact/chat-template.ts';
import { commonLength } from '../engine/prefix-cache.ts';
import type { PromptModel } from './loaded-model.ts';
import { encodeChat, encodePrompt } from './prompt.ts';

/** Two messages that begin with different tokens: what their prompts have in common does not depend on them. */
const probes = ['A', '7'];

/** The tokens that completions of a text begin with. @throws PromptError */
export async function tokensOfText(model: PromptModel, text: string): Promise<number[]> {
  return await encodePrompt(model, text, { param: 'The text', addSpecialTokens: true });
}

/**
 * The tokens that conversations which begin with these messages have in common, the marks before the next message
 * included: some templates put a system message into the user's, others close with what depends on what follows.
 * @param tools what the model may call, as OpenAI's `tools` has it
 * @throws PromptError where the model has no chat template, or one that refuses these messages
 */
export async function tokensOfChat(
  model: PromptModel,
  messages: readonly ChatMessage[],
  tools?: readonly object[],
): Promise<number[]> {
  const encode = (all: readonly ChatMessage[]) => encodeChat(model, all, { tools });
  // After those the model answers; after others somebody has to ask first.
  if (['user', 'tool'].includes(messages.at(-1)!.role)) return await encode(messages);
  const [one, other] = await Promise.all(
    probes.map((content) => encode([...messages, { role: 'user', content }])),
  );
  return one!.slice(0, commonLength(one!, other!));
}
