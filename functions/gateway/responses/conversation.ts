import type { ChatMessage } from '../../../artifact/chat-template.ts';
import { merged, textOf } from '../conversation.ts';
import { valueOfArguments } from '../schemas/tools.ts';
import type { InputBody } from './schema.ts';

type Item = Exclude<InputBody['input'], string>[number];

/** A response's instructions and input, as chat templates take them. */
export function messagesOf({ instructions, input }: InputBody): ChatMessage[] {
  const system = instructions === undefined ? [] : [{ role: 'system', content: instructions }];
  const messages = typeof input === 'string' ? [{ role: 'user', content: input }] : input.map(messageOf);
  return merged([...system, ...messages]);
}

function messageOf(item: Item): ChatMessage {
  if (item.type === 'function_call_output') {
    return { role: 'tool', content: textOf(item.output), tool_call_id: item.call_id };
  }
  if (item.type === 'function_call') {
    const { call_id: id, name } = item;
    const call = {
      id,
      type: 'function' as const,
      function: { name, arguments: valueOfArguments(item.arguments) },
    };
    return { role: 'assistant', content: '', tool_calls: [call] };
  }
  return { role: item.role === 'developer' ? 'system' : item.role, content: textOf(item.content) };
}
