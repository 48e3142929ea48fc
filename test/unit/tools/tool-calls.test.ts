import { afterAll, describe, expect, it } from 'vitest';
import { type ToolFormat, toolFormatOf } from '../../../functions/model/tools/formats.ts';
import { toolGrammar } from '../../../functions/model/tools/grammar.ts';
import type { Tool } from '../../../functions/model/tools/tool.ts';
import { GrammarWriter } from '../../fixtures/grammar-writer.ts';
import { seeded } from '../../fixtures/random-checkpoint.ts';
import { formatOf, parseCalls } from '../../fixtures/tools/forms.ts';

const hermes = formatOf('hermes');
const coder = formatOf('qwen3-coder');
const mistral = formatOf('mistral');
const mistralArgs = formatOf('mistral-args');
const phi4 = formatOf('phi4');
const functools = formatOf('functools');
const llama3 = toolFormatOf('"parameters": dictionary of argument name and its value')!;

const tool = (name: string, parameters?: object): Tool => ({ name, parameters, strict: true, source: {} });
const tools = [
  tool('move', {
    properties: { to: { type: 'string', maxLength: 6 }, by: { type: 'array', items: { type: 'integer' } } },
    required: ['to'],
  }),
  tool('move_on'),
];
const names = tools.map(({ name }) => name);

const call = (name: string, json: string) =>
  `<tool_call>\n{"name": "${name}", "arguments": ${json}}\n</tool_call>`;

describe('the parser of tool calls', () => {
  it.each<[string, ToolFormat, string, { text: string; calls: string[][] }]>([
    ['no call', hermes, 'Hello. \n', { text: 'Hello. \n', calls: [] }],
    ['nothing', hermes, '', { text: '', calls: [] }],
    [
      'calls between texts',
      hermes,
      `I look.\n${call('move', '{"to": "}\\"]{", "by": [1, [2]]}')}\n ${call('move_on', '{}')}\nDone.\n`,
      {
        text: 'I look.\nDone.',
        calls: [
          ['move', '{"to": "}\\"]{", "by": [1, [2]]}'],
          ['move_on', '{}'],
        ],
      },
    ],
    [
      'what a coder writes',
      hermes,
      '{"name": "move_on", "arguments": {}}',
      { text: '', calls: [['move_on', '{}']] },
    ],
    [
      'what a coder writes in a fence',
      hermes,
      'So:\n```json\n{\n  "name": "move",\n  "arguments": {"to": "a"}\n}\n```\n',
      { text: 'So:', calls: [['move', '{"to": "a"}']] },
    ],
    [
      'JSON that is no call',
      hermes,
      '{"name": "x", "arguments": {}}',
      { text: '{"name": "x", "arguments": {}}', calls: [] },
    ],
    ['the beginning of a call', hermes, 'a <tool_call', { text: 'a <tool_call', calls: [] }],
    [
      'a call that is cut off',
      hermes,
      `<tool_call>\n{"name": "move", "arguments": {"to": "le`,
      { text: '', calls: [['move', '{"to": "le']] },
    ],
    [
      'calls between tags',
      coder,
      'Well.\n<tool_call>\n<function=move>\n<parameter=to>\n"a\\\n</parameter>é😀</p\n</parameter>\n<parameter=by>\n[1, 2]\n' +
        '</parameter>\n</function>\n</tool_call>\n<function=move_on>\n</function>\n</tool_call>\n',
      {
        text: 'Well.',
        calls: [
          [
            'move',
            JSON.stringify({ to: '"a\\\n</parameter>é😀</p', by: [1, 2] }).replace(/([:,])(?=["[2])/g, '$1 '),
          ],
          ['move_on', '{}'],
        ],
      },
    ],
    [
      'a call between tags that is cut off',
      coder,
      '<tool_call>\n<function=move>\n<parameter=to>\nle\n</para',
      { text: '', calls: [['move', '{"to": "le']] },
    ],
    [
      'a list of calls',
      mistral,
      'Well. [TOOL_CALLS][{"name": "move", "arguments": {"to": "], "}}, {"name": "move_on", "arguments": {}}]',
      {
        text: 'Well.',
        calls: [
          ['move', '{"to": "], "}'],
          ['move_on', '{}'],
        ],
      },
    ],
    [
      'a list that is cut off between calls',
      mistral,
      '[TOOL_CALLS][{"name": "move_on", "arguments": {}}, {"na',
      { text: '', calls: [['move_on', '{}']] },
    ],
    [
      'calls without an end',
      mistralArgs,
      '[TOOL_CALLS]move[ARGS]{"to": "a"}[TOOL_CALLS]move_on[ARGS]{}',
      {
        text: '',
        calls: [
          ['move', '{"to": "a"}'],
          ['move_on', '{}'],
        ],
      },
    ],
    [
      'calls between control tokens',
      phi4,
      '<|tool_call|>{"name": "move", "arguments": {"to": "a"}}<|/tool_call|><|tool_call|>{"name": "move_on", "arguments": {}}<|/tool_call|>',
      {
        text: '',
        calls: [
          ['move', '{"to": "a"}'],
          ['move_on', '{}'],
        ],
      },
    ],
    [
      'a list after a word',
      functools,
      'functools[{"name": "move_on", "arguments": {}}]',
      { text: '', calls: [['move_on', '{}']] },
    ],
    [
      'an answer that is a call',
      llama3,
      '{"name": "move_on", "parameters": {}}',
      { text: '', calls: [['move_on', '{}']] },
    ],
    [
      'a call that is not all of it',
      llama3,
      ' {"name": "move_on", "parameters": {}}',
      { text: ' {"name": "move_on", "parameters": {}}', calls: [] },
    ],
  ])('takes apart %s, wherever it is cut', (_what, format, text, expected) => {
    expect(parseCalls(format, [text])).toEqual(expected);
    const characters = [...text];
    expect(parseCalls(format, characters)).toEqual(expected);
    for (let at = 1; at < characters.length; at++) {
      const halves = [characters.slice(0, at), characters.slice(at)].map((half) => half.join(''));
      expect(parseCalls(format, halves)).toEqual(expected);
    }
  });
});

describe('the grammar of tool calls', () => {
  const writer = new GrammarWriter(seeded(3));
  afterAll(() => writer[Symbol.dispose]());

  it.each([
    ['hermes', hermes],
    ['qwen3-coder', coder],
    ['mistral', mistral],
    ['mistral-args', mistralArgs],
    ['phi4', phi4],
    ['functools', functools],
    ['llama3', llama3],
  ] as const)('writes what the parser of %s reads', async (name, format) => {
    const { ebnf } = toolGrammar(format, { tools, choice: 'required', parallel: true });
    let calls = 0;
    for (let i = 0; i < 20; i++) {
      const text = await writer.write(ebnf);
      if (text === undefined) continue;
      const parsed = parseCalls(format, [text]);
      expect(parsed.text).toBe('');
      expect(parsed.calls.length).toBeGreaterThan(0);
      if (name === 'llama3') expect(parsed.calls).toHaveLength(1);
      for (const [name, json] of parsed.calls) {
        expect(names).toContain(name);
        const given = JSON.parse(json!);
        if (name === 'move') expect([...given.to].length).toBeLessThanOrEqual(6);
        else expect(given).toEqual({});
      }
      calls += parsed.calls.length;
    }
    expect(calls).toBeGreaterThan(10);
  });

  it.each<[string, ToolFormat, boolean, string[], string[]]>([
    [
      'hermes',
      hermes,
      true,
      [
        '',
        'Hi <tool and {"name": "x"}',
        `a ${call('move_on', '{}')} b ${call('move', '{"to": "a"}')}`,
        '{"name": "move_on", "arguments": {}}',
        '```json\n{\n  "name": "move_on",\n  "arguments": {}\n}\n``` and so on',
        '```json\n{\n  "a": 1\n}\n```',
      ],
      [call('other', '{}'), call('move', '{}'), '<tool_call>x', '{"name": "move_on", "arguments": 1}'],
    ],
    [
      'hermes, one at a time',
      hermes,
      false,
      ['a', `a ${call('move_on', '{}')}`],
      [`${call('move_on', '{}')} b`],
    ],
    [
      'mistral',
      mistral,
      true,
      [
        'Hi [TOOL_',
        'a [TOOL_CALLS][{"name": "move", "arguments": {"to": "a"}}, {"name": "move_on", "arguments": {}}]',
      ],
      ['[TOOL_CALLS]x', '[TOOL_CALLS][]', '[TOOL_CALLS][{"name": "move_on", "arguments": {}}] b'],
    ],
    [
      'mistral, one at a time',
      mistral,
      false,
      ['[TOOL_CALLS][{"name": "move_on", "arguments": {}}]'],
      ['[TOOL_CALLS][{"name": "move_on", "arguments": {}}, {"name": "move_on", "arguments": {}}]'],
    ],
    [
      'qwen3-coder',
      coder,
      true,
      [
        'a <tool_call>\n<function=move>\n<parameter=to>\na\n</parameter>\n</function>\n</tool_call> b',
        '<function=move_on>\n</function>\n</tool_call>',
      ],
      [
        '<tool_call>\n<function=move>\n<parameter=to>\nmore than six\n</parameter>\n</function>\n</tool_call>',
        '<tool_call>\n<function=move>\n<parameter=by>\n[1]\n</parameter>\n</function>\n</tool_call>',
        '<tool_call>\n<function=move>\n<parameter=to>\na\n</parameter>\n<parameter=by>\n1\n</parameter>\n</function>\n</tool_call>',
        '<tool_call>\n<function=other>\n</function>\n</tool_call>',
      ],
    ],
    [
      'llama3',
      llama3,
      true,
      ['', 'Hi {', '{"name": "move_on", "parameters": {}}'],
      ['{"a": 1}', '{"name": "move_on", "parameters": {}} x'],
    ],
  ])('leaves %s free until a call begins', async (_name, format, parallel, yes, no) => {
    const { ebnf } = toolGrammar(format, { tools, choice: 'auto', parallel });
    for (const text of yes) expect(await writer.accepts(ebnf, text), text).toBe(true);
    for (const text of no) expect(await writer.accepts(ebnf, text), text).toBe(false);
  });
});

describe('arguments between tags', () => {
  const writer = new GrammarWriter(seeded(4));
  afterAll(() => writer[Symbol.dispose]());

  const grammarOf = (parameters: object, strict = true) =>
    toolGrammar(coder, {
      tools: [{ ...tool('f', parameters), strict }],
      choice: 'required',
      parallel: false,
    });
  const callOf = (...values: string[]) =>
    `<tool_call>\n<function=f>\n${values.map((value, i) => `<parameter=${'abc'[i]}>\n${value}\n</parameter>\n`).join('')}</function>\n</tool_call>`;

  it('are text where they can only be that, and JSON else', async () => {
    const { ebnf, functions } = grammarOf({
      $defs: { word: { enum: ['yes', 'no\nway'] } },
      properties: {
        a: { type: 'string' },
        b: { $ref: '#/$defs/word', description: 'A word.' },
        c: { type: ['string', 'null'] },
      },
      required: ['a', 'b', 'c'],
    });
    expect([...functions[0]!.texts]).toEqual(['a', 'b']);
    expect(await writer.accepts(ebnf, callOf('any\n\n"text</parameter>', 'no\nway', '"x"'))).toBe(true);
    expect(await writer.accepts(ebnf, callOf('', 'yes', 'null'))).toBe(true);
    expect(await writer.accepts(ebnf, callOf('', 'yes', 'x'))).toBe(false);
    expect(await writer.accepts(ebnf, callOf('', 'maybe', 'null'))).toBe(false);
  });

  it('meet their patterns', async () => {
    const { ebnf } = grammarOf({
      properties: { a: { type: 'string', pattern: '^[^x]+$' } },
      required: ['a'],
    });
    expect(await writer.accepts(ebnf, callOf('"y"'))).toBe(true);
    expect(await writer.accepts(ebnf, callOf('yx'))).toBe(false);
  });

  it('are refused where they have no names and somebody insists', () => {
    expect(() => grammarOf({ additionalProperties: { type: 'string' } })).toThrow('additionalProperties');
    expect(grammarOf({ additionalProperties: { type: 'string' } }, false).ebnf).toContain('<function=f>');
    expect(() => grammarOf({ properties: {}, required: ['a'] }, false)).toThrow('does not describe a');
  });
});
