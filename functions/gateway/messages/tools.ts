import { z } from 'zod';
import type { Tool, ToolChoice } from '../../model/tools/tool.ts';
import { orDefault } from '../schemas/fields.ts';
import { maxTools, toolName } from '../schemas/tools.ts';

const tool = z.object({
  type: z.literal('custom', { error: 'only tools of the client are supported' }).nullish(),
  name: toolName,
  description: orDefault(z.string(), undefined),
  input_schema: z.record(z.string(), z.unknown()),
  strict: orDefault(z.boolean(), false),
});

const toolChoice = z.object({
  type: z.enum(['auto', 'any', 'tool', 'none']),
  name: z.string().optional(),
  disable_parallel_tool_use: orDefault(z.boolean(), false),
});

/** What the model may call. */
export const toolFields = {
  tools: orDefault(z.array(tool).max(maxTools), []),
  tool_choice: orDefault(toolChoice, undefined),
};

type ToolFields = z.infer<z.ZodObject<typeof toolFields>>;

/** @returns what is wrong with the choice */
export function choiceProblem({ tools, tool_choice: choice }: ToolFields): string | undefined {
  if (choice?.type === 'any' && tools.length === 0) return 'is allowed only together with tools';
  if (choice?.type !== 'tool' || tools.some(({ name }) => name === choice.name)) return undefined;
  return `there is no tool ${choice.name}`;
}

/** The tools that the model gets to see, as its template takes them: none where it may not call any. */
export function toolsOf({ tools, tool_choice: choice }: ToolFields): Tool[] {
  if (choice?.type === 'none') return [];
  return tools.map(({ name, description, input_schema: parameters, strict }) => ({
    name,
    parameters,
    strict,
    source: {
      type: 'function',
      function: { name, ...(description !== undefined && { description }), parameters },
    },
  }));
}

export function choiceOf({ tool_choice: choice }: ToolFields): ToolChoice {
  if (choice?.type === 'tool') return { name: choice.name! };
  return choice?.type === 'any' ? 'required' : 'auto';
}
