import type { LoadedModel } from '../../model/loaded-model.ts';
import { renderChat } from '../../model/prompt.ts';
import { merged, textOf } from '../conversation.ts';
import type { ConversationBody } from './schema.ts';

/**
 * The conversation as the model reads it, up to where it writes on. A last message of the assistant's is the
 * beginning of the answer.
 * @throws PromptError
 */
export function renderMessages(model: LoadedModel, body: ConversationBody): string {
  const system = body.system === undefined ? [] : [{ role: 'system', content: body.system }];
  const messages = merged(
    [...system, ...body.messages].map(({ role, content }) => ({ role, content: textOf(content) })),
  );
  const begun = isBegun(body) ? messages.pop()!.content : '';
  return renderChat(model, messages) + begun;
}

/** Whether the answer was begun for the model. */
export function isBegun({ messages }: ConversationBody): boolean {
  return messages.at(-1)!.role === 'assistant';
}
