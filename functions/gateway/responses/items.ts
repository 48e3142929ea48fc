import type { ToolCall } from '../../model/tools/tool.ts';

export type ItemStatus = 'in_progress' | 'completed' | 'incomplete';

export function message(id: string, status: ItemStatus, content: object[]) {
  return { type: 'message', id, status, role: 'assistant', content };
}

export function textPart(text: string, logprobs: object[] = []) {
  return { type: 'output_text', text, annotations: [], logprobs };
}

export function functionCall(id: string, status: ItemStatus, call: ToolCall) {
  return { type: 'function_call', id, status, call_id: call.id, name: call.name, arguments: call.arguments };
}
