/** One way to write calls. `NAME` stands for the function's name. */
export interface CallForm {
  /** In the middle of a text, this is the beginning of calls; where it is absent, a call is all of the text. */
  trigger?: string;
  /** Where all calls of an answer stand in one list. What comes before and after it, the trigger included. */
  list?: { begin: string; separator: string; end: string };
  /** What comes before a call's arguments; where there is no list, the trigger included. */
  begin: string;
  /** What comes after them. */
  end: string;
  /** One JSON object, or each by itself between tags: strings as they are, anything else as JSON. @default json */
  arguments?: 'json' | 'tags';
}

/** How a family of models writes tool calls, as its chat template taught it. */
export interface ToolFormat {
  name: string;
  /** The first is the template's own, which calls that have to be made are in. */
  forms: readonly [CallForm, ...CallForm[]];
  /** Between two calls that stand in no list; absent where there is one at most. */
  separator?: string;
  /** Letters and digits of a call's id, where the template takes no others. @default `call_` and 24 */
  idLength?: number;
}

/** By what stands in the template. The first that fits counts. */
const table: readonly { inTemplate: RegExp; notInTemplate?: RegExp; format: ToolFormat }[] = [
  {
    // Qwen 2.5 and 3, Hermes 2 and 3, SmolLM3.
    inTemplate: /<tool_call>[\s\S]*\barguments\b/,
    notInTemplate: /<function=/,
    format: {
      name: 'hermes',
      forms: [
        {
          trigger: '<tool_call>',
          begin: '<tool_call>\n{"name": "NAME", "arguments": ',
          end: '}\n</tool_call>',
        },
        // What Qwen's coders of generation 2.5 write, whatever their template says.
        { trigger: '{"name": "NAME"', begin: '{"name": "NAME", "arguments": ', end: '}' },
        {
          trigger: '```json\n{\n  "name": "NAME"',
          begin: '```json\n{\n  "name": "NAME",\n  "arguments": ',
          end: '\n}\n```',
        },
      ],
      separator: '\n',
    },
  },
  {
    // Qwen's coders of the third generation.
    inTemplate: /<tool_call>\n?[\s\S]*<function=[\s\S]*<parameter=/,
    format: {
      name: 'qwen3-coder',
      forms: [
        {
          trigger: '<tool_call>',
          begin: '<tool_call>\n<function=NAME>\n',
          end: '</function>\n</tool_call>',
          arguments: 'tags',
        },
        // They forget the first tag now and then, the last one hardly ever.
        {
          trigger: '<function=NAME>',
          begin: '<function=NAME>\n',
          end: '</function>\n</tool_call>',
          arguments: 'tags',
        },
      ],
      separator: '\n',
    },
  },
  {
    // Llama 3.1 and 3.2.
    inTemplate: /"parameters": dictionary of argument name and its value/,
    format: { name: 'llama3', forms: [{ begin: '{"name": "NAME", "parameters": ', end: '}' }] },
  },
  {
    // Devstral, Ministral 3 and others whose tokenizer is of version 13.
    inTemplate: /\[TOOL_CALLS\][\s\S]*\[ARGS\]/,
    notInTemplate: /\[CALL_ID\]/,
    format: {
      name: 'mistral-args',
      forms: [{ trigger: '[TOOL_CALLS]', begin: '[TOOL_CALLS]NAME[ARGS]', end: '' }],
      separator: '',
      idLength: 9,
    },
  },
  // Mistral 7B v0.3 has a space that Nemo, Small 3 and their like have not.
  { inTemplate: /\[TOOL_CALLS\] \[/, format: mistralList('[TOOL_CALLS] [') },
  { inTemplate: /\[TOOL_CALLS\]\[/, format: mistralList('[TOOL_CALLS][') },
  {
    // Phi-4-mini, with the templates that llama.cpp and vLLM have for it: its own has no place for calls.
    inTemplate: /<\|tool_call\|>/,
    format: {
      name: 'phi4',
      forms: [
        {
          trigger: '<|tool_call|>',
          begin: '<|tool_call|>{"name": "NAME", "arguments": ',
          end: '}<|/tool_call|>',
        },
      ],
      separator: '',
    },
  },
  {
    inTemplate: /\bfunctools\[/,
    format: {
      name: 'functools',
      forms: [
        {
          trigger: 'functools[',
          list: { begin: 'functools[', separator: ', ', end: ']' },
          begin: '{"name": "NAME", "arguments": ',
          end: '}',
        },
      ],
    },
  },
];

function mistralList(begin: string): ToolFormat {
  return {
    name: 'mistral',
    forms: [
      {
        trigger: '[TOOL_CALLS]',
        list: { begin, separator: ', ', end: ']' },
        begin: '{"name": "NAME", "arguments": ',
        end: '}',
      },
    ],
    idLength: 9,
  };
}

/** @returns undefined for templates without tools, or with tools in a form that is not known here */
export function toolFormatOf(template: string): ToolFormat | undefined {
  return table.find(
    ({ inTemplate, notInTemplate }) => inTemplate.test(template) && !notInTemplate?.test(template),
  )?.format;
}

export function withName(text: string, name: string): string {
  return text.replace('NAME', () => name);
}

/** Whether calls are spelled with this token: where it is a control token, it is a part of the text all the same. */
export function isSpelledWith({ forms }: ToolFormat, token: string): boolean {
  return forms.some(({ list, begin, end }) =>
    [list?.begin, begin, end, list?.end].some((text) => text?.includes(token)),
  );
}
