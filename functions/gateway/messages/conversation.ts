import type { ChatMessage } from '../../../artifact/chat-template.ts';
import type { LoadedModel } from '../../model/loaded-model.ts';
import { renderChat } from '../../model/prompt.ts';
import type { ConversationBody } from './schema.ts';

/**
 * The conversation as the model reads it, up to where it writes on. A last message of the assistant's is the
 * beginning of the answer. Messages of one role in a row are one, as Anthropic has it: few templates take two.
 * @throws PromptError
 */
export function renderMessages(model: LoadedModel, body: ConversationBody): string {
  const messages: ChatMessage[] = [];
  if (body.system !== undefined) messages.push({ role: 'system', content: textOf(body.system) });
  for (const { role, content } of body.messages) {
    const last = messages.at(-1);
    if (last?.role === role) last.content += `\n${textOf(content)}`;
    else messages.push({ role, content: textOf(content) });
  }
  const begun = messages.at(-1)!.role === 'assistant' ? messages.pop()!.content : '';
  return renderChat(model, messages) + begun;
}

/** Whether the answer was begun for the model. */
export function isBegun({ messages }: ConversationBody): boolean {
  return messages.at(-1)!.role === 'assistant';
}

function textOf(content: string | readonly { text: string }[]): string {
  return typeof content === 'string' ? content : content.map(({ text }) => text).join('\n');
}
