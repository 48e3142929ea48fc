import type { ChatMessage } from '../../../artifact/chat-template.ts';
import type { LoadedModel } from '../../model/loaded-model.ts';
import { renderChat } from '../../model/prompt.ts';
import { merged, textOf } from '../conversation.ts';
import type { ConversationBody } from './schema.ts';
import { toolsOf } from './tools.ts';

type Message = ConversationBody['messages'][number];
type Block = Exclude<Message['content'], string>[number];

/**
 * The conversation as the model reads it, up to where it writes on. A last message of the assistant's is the
 * beginning of the answer.
 * @throws PromptError
 */
export function renderMessages(model: LoadedModel, body: ConversationBody): string {
  const messages = messagesOf(body);
  const begun = isBegun(body) ? messages.pop()!.content : '';
  const tools = toolsOf(body).map(({ source }) => source);
  return renderChat(model, messages, { begun, ...(tools.length > 0 && { tools }) });
}

/** As chat templates take them: each result of a tool is a message of its own. */
export function messagesOf({ system, messages }: ConversationBody): ChatMessage[] {
  const before = system === undefined ? [] : [{ role: 'system', content: textOf(system) }];
  return merged([...before, ...messages.flatMap(turnsOf)]);
}

/** Whether the answer was begun for the model. */
export function isBegun(body: ConversationBody): boolean {
  const last = body.messages.at(-1)!;
  return last.role === 'assistant' && blocksOf(last).every(({ type }) => type === 'text');
}

function turnsOf(message: Message): ChatMessage[] {
  const blocks = blocksOf(message);
  const { role } = message;
  const texts = blocks.filter((block) => block.type === 'text');
  const calls = blocks.filter((block) => block.type === 'tool_use');
  const results = blocks.filter((block) => block.type === 'tool_result');
  const turns: ChatMessage[] = results.map((result) => ({
    role: 'tool',
    content: textOf(result.content),
    tool_call_id: result.tool_use_id,
  }));
  if (texts.length > 0 || calls.length > 0 || results.length === 0) {
    const tool_calls = calls.map(({ id, name, input }) => ({
      id,
      type: 'function' as const,
      function: { name, arguments: input },
    }));
    turns.push({ role, content: textOf(texts), ...(calls.length > 0 && { tool_calls }) });
  }
  return turns;
}

function blocksOf({ content }: Message): Block[] {
  return typeof content === 'string' ? [{ type: 'text', text: content }] : content;
}
