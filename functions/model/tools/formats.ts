/** How a family of models writes tool calls, as its chat template taught it. */
export interface ToolFormat {
  name: string;
  /** What begins a call in the middle of a text; absent where a call is all of the text. */
  trigger?: string;
  /** Before a call's JSON, the trigger included. */
  begin: string;
  /** After it. */
  end: string;
  /** Between two calls; absent where there is one at most. */
  separator?: string;
  /** The key of the arguments, beside `name`. */
  argumentsKey: string;
}

/** By what stands in the template. The first that fits counts. */
const table: readonly { inTemplate: RegExp; notInTemplate?: RegExp; format: ToolFormat }[] = [
  {
    // Qwen 2.5 and 3, Hermes 2 and 3, SmolLM3. Qwen's coders of the third generation write XML instead.
    inTemplate: /<tool_call>[\s\S]*\barguments\b/,
    notInTemplate: /<function=/,
    format: {
      name: 'hermes',
      trigger: '<tool_call>',
      begin: '<tool_call>\n',
      end: '\n</tool_call>',
      separator: '\n',
      argumentsKey: 'arguments',
    },
  },
  {
    // Llama 3.1 and 3.2.
    inTemplate: /"parameters": dictionary of argument name and its value/,
    format: { name: 'llama3', begin: '', end: '', argumentsKey: 'parameters' },
  },
];

/** @returns undefined for templates without tools, or with tools in a form that is not known here */
export function toolFormatOf(template: string): ToolFormat | undefined {
  return table.find(
    ({ inTemplate, notInTemplate }) => inTemplate.test(template) && !notInTemplate?.test(template),
  )?.format;
}

/** `{"name": "NAME", "arguments": ` */
export function headOf(format: ToolFormat, name: string): string {
  return `{"name": ${JSON.stringify(name)}, "${format.argumentsKey}": `;
}
