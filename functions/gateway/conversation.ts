import type { ChatMessage } from '../../artifact/chat-template.ts';

/** A message's text, given whole or in parts. A line break between parts is what other servers put. */
export function textOf(content: string | readonly { text: string }[]): string {
  return typeof content === 'string' ? content : content.map(({ text }) => text).join('\n');
}

/** Puts messages of one role in a row together, and calls with the text before them: few templates take two. */
export function merged(messages: Iterable<ChatMessage>): ChatMessage[] {
  const turns: ChatMessage[] = [];
  for (const message of messages) {
    const last = turns.at(-1);
    const { role, content, tool_calls: calls } = message;
    if (last?.role !== role || role === 'tool') {
      turns.push({ ...message });
      continue;
    }
    last.content = [last.content, content].filter((text) => text !== '').join('\n');
    if (calls) last.tool_calls = [...(last.tool_calls ?? []), ...calls];
  }
  return turns;
}
