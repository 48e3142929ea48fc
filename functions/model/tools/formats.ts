/** One way to write a call. `NAME` stands for the function's name, as JSON. */
export interface CallForm {
  /** In the middle of a text, this is the beginning of a call; where it is absent, a call is all of the text. */
  trigger?: string;
  /** What comes before the arguments, the trigger included. */
  begin: string;
  /** What comes after them. */
  end: string;
}

/** How a family of models writes tool calls, as its chat template taught it. */
export interface ToolFormat {
  name: string;
  /** The first is the template's own, which calls that have to be made are in. */
  forms: readonly [CallForm, ...CallForm[]];
  /** Between two calls; absent where there is one at most. */
  separator?: string;
}

/** By what stands in the template. The first that fits counts. */
const table: readonly { inTemplate: RegExp; notInTemplate?: RegExp; format: ToolFormat }[] = [
  {
    // Qwen 2.5 and 3, Hermes 2 and 3, SmolLM3. Qwen's coders of the third generation write XML instead.
    inTemplate: /<tool_call>[\s\S]*\barguments\b/,
    notInTemplate: /<function=/,
    format: {
      name: 'hermes',
      forms: [
        {
          trigger: '<tool_call>',
          begin: '<tool_call>\n{"name": NAME, "arguments": ',
          end: '}\n</tool_call>',
        },
        // What Qwen's coders of generation 2.5 write, whatever their template says.
        { trigger: '{"name": NAME', begin: '{"name": NAME, "arguments": ', end: '}' },
        {
          trigger: '```json\n{\n  "name": NAME',
          begin: '```json\n{\n  "name": NAME,\n  "arguments": ',
          end: '\n}\n```',
        },
      ],
      separator: '\n',
    },
  },
  {
    // Llama 3.1 and 3.2.
    inTemplate: /"parameters": dictionary of argument name and its value/,
    format: { name: 'llama3', forms: [{ begin: '{"name": NAME, "parameters": ', end: '}' }] },
  },
];

/** @returns undefined for templates without tools, or with tools in a form that is not known here */
export function toolFormatOf(template: string): ToolFormat | undefined {
  return table.find(
    ({ inTemplate, notInTemplate }) => inTemplate.test(template) && !notInTemplate?.test(template),
  )?.format;
}

export function withName(text: string, name: string): string {
  return text.replace('NAME', () => JSON.stringify(name));
}
