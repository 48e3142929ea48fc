import { z } from 'zod';
import type { Tool, ToolChoice } from '../../model/tools/tool.ts';
import { orDefault } from '../schemas/fields.ts';
import { maxTools, toolName } from '../schemas/tools.ts';

const tool = z.object({
  type: z.literal('function', { error: 'only functions are supported' }),
  name: toolName,
  description: orDefault(z.string(), undefined),
  parameters: orDefault(z.record(z.string(), z.unknown()), undefined),
  strict: orDefault(z.boolean(), false),
});

const toolChoice = z.union(
  [z.enum(['none', 'auto', 'required']), z.object({ type: z.literal('function'), name: toolName })],
  { error: 'should be none, auto, required or {"type": "function", "name": ...}' },
);

/** What the model may call. */
export const toolFields = {
  tools: orDefault(z.array(tool).max(maxTools), []),
  tool_choice: orDefault(toolChoice, 'auto' as const),
  parallel_tool_calls: orDefault(z.boolean(), true),
};

type ToolFields = z.infer<z.ZodObject<typeof toolFields>>;

/** @returns what is wrong with the choice */
export function choiceProblem({ tools, tool_choice: choice }: ToolFields): string | undefined {
  if (choice === 'required' && tools.length === 0) return 'is allowed only together with tools';
  if (typeof choice === 'string' || tools.some(({ name }) => name === choice.name)) return undefined;
  return `there is no tool ${choice.name}`;
}

/** The tools that the model gets to see, as its template takes them: none where it may not call any. */
export function toolsOf({ tools, tool_choice: choice }: ToolFields): Tool[] {
  if (choice === 'none') return [];
  return tools.map(({ name, description, parameters, strict }) => ({
    name,
    parameters,
    strict,
    source: {
      type: 'function',
      function: {
        name,
        ...(description !== undefined && { description }),
        ...(parameters && { parameters }),
      },
    },
  }));
}

export function choiceOf({ tool_choice: choice }: ToolFields): ToolChoice {
  if (typeof choice === 'object') return { name: choice.name };
  return choice === 'required' ? choice : 'auto';
}
