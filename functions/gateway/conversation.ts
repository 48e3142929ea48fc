import type { ChatMessage } from '../../artifact/chat-template.ts';

/** A message's text, given whole or in parts. A line break between parts is what other servers put. */
export function textOf(content: string | readonly { text: string }[]): string {
  return typeof content === 'string' ? content : content.map(({ text }) => text).join('\n');
}

/** Puts messages of one role in a row together: few templates take two. */
export function merged(messages: Iterable<ChatMessage>): ChatMessage[] {
  const turns: ChatMessage[] = [];
  for (const { role, content } of messages) {
    const last = turns.at(-1);
    if (last?.role === role) last.content += `\n${content}`;
    else turns.push({ role, content });
  }
  return turns;
}
