import type { ChatMessage } from '../../../artifact/chat-template.ts';
import { merged, textOf } from '../conversation.ts';
import type { InputBody } from './schema.ts';

/** A response's instructions and input, as chat templates take them. */
export function messagesOf({ instructions, input }: InputBody): ChatMessage[] {
  const system = instructions === undefined ? [] : [{ role: 'system', content: instructions }];
  const items = typeof input === 'string' ? [{ role: 'user', content: input }] : input;
  const messages = items.map(({ role, content }) => ({
    role: role === 'developer' ? 'system' : role,
    content: textOf(content),
  }));
  return merged([...system, ...messages]);
}
