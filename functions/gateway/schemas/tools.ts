import { z } from 'zod';
import type { Tool } from '../../model/tools/tool.ts';
import { orDefault } from './fields.ts';

/** OpenAI's limit. */
export const maxTools = 128;

export const toolName = z
  .string()
  .regex(/^[a-zA-Z0-9_-]{1,64}$/, 'has 1 to 64 letters, digits, underscores or dashes');

const tool = z.looseObject({
  type: z.literal('function', { error: 'only functions are supported' }),
  function: z.looseObject({
    name: toolName,
    description: orDefault(z.string(), undefined),
    parameters: orDefault(z.record(z.string(), z.unknown()), undefined),
    strict: orDefault(z.boolean(), false),
  }),
});

const toolChoice = z.union(
  [
    z.enum(['none', 'auto', 'required']),
    z.object({ type: z.literal('function'), function: z.object({ name: toolName }) }),
  ],
  { error: 'should be none, auto, required or {"type": "function", "function": {"name": ...}}' },
);

/** What the model may call. */
export const toolFields = {
  tools: orDefault(z.array(tool).max(maxTools), []),
  tool_choice: orDefault(toolChoice, undefined),
  parallel_tool_calls: orDefault(z.boolean(), true),
};

type ToolFields = z.infer<z.ZodObject<typeof toolFields>>;

/** A call in an assistant's message. */
export const toolCall = z.object({
  id: z.string(),
  type: z.literal('function', { error: 'only functions are supported' }),
  function: z.object({ name: z.string(), arguments: z.string() }),
});

/** A call's arguments. Templates write them themselves, as their own JSON. */
export function valueOfArguments(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // A model that was cut off wrote it so.
    return text;
  }
}

/** @returns what is wrong with the choice, by its place in the request */
export function choiceProblem({ tools, tool_choice: choice }: ToolFields): string | undefined {
  if (choice === undefined || choice === 'none') return undefined;
  if (tools.length === 0) return choice === 'auto' ? undefined : 'is allowed only together with tools';
  if (typeof choice === 'string') return undefined;
  const { name } = choice.function;
  return tools.some((tool) => tool.function.name === name) ? undefined : `there is no tool ${name}`;
}

/** The tools that the model gets to see: none where it may not call any. */
export function toolsOf({ tools, tool_choice: choice }: ToolFields): Tool[] {
  if (choice === 'none') return [];
  return tools.map(({ function: { name, parameters, strict } }, index) => ({
    name,
    parameters,
    strict,
    source: sourceOf(tools[index]!),
  }));
}

/** As it came, without what was not given. */
function sourceOf(tool: ToolFields['tools'][number]): object {
  const { strict: _, ...rest } = tool.function;
  const given = Object.entries(rest).filter(([, value]) => value !== undefined);
  return { ...tool, function: Object.fromEntries(given) };
}
