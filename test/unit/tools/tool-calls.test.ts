import { afterAll, describe, expect, it } from 'vitest';
import { type ToolFormat, toolFormatOf } from '../../../functions/model/tools/formats.ts';
import { toolGrammar } from '../../../functions/model/tools/grammar.ts';
import { ToolCallParser } from '../../../functions/model/tools/parser.ts';
import type { Tool, ToolCall } from '../../../functions/model/tools/tool.ts';
import { GrammarWriter } from '../../fixtures/grammar-writer.ts';
import { seeded } from '../../fixtures/random-checkpoint.ts';

const hermes = toolFormatOf('<tool_call> {"name": ..., "arguments": ...}')!;
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

/** What comes out, however the text is cut. */
function parse(format: ToolFormat, pieces: readonly string[]) {
  const parser = new ToolCallParser(format, names);
  let text = '';
  const calls: ToolCall[] = [];
  for (const piece of pieces) {
    const out = parser.push(piece);
    text += out.text;
    for (const { index, id, name, arguments: part } of out.calls) {
      if (id !== undefined) calls[index] = { id, name: name!, arguments: part };
      else calls[index]!.arguments += part;
    }
  }
  text += parser.end();
  return { text, calls: calls.map(({ name, arguments: json }) => [name, json]) };
}

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
    expect(parse(format, [text])).toEqual(expected);
    expect(parse(format, [...text])).toEqual(expected);
    for (let at = 1; at < text.length; at++) {
      expect(parse(format, [text.slice(0, at), text.slice(at)])).toEqual(expected);
    }
  });
});

describe('the grammar of tool calls', () => {
  const writer = new GrammarWriter(seeded(3));
  afterAll(() => writer[Symbol.dispose]());

  it.each([
    ['hermes', hermes, 3],
    ['llama3', llama3, 1],
  ] as const)('writes what the parser of %s reads', async (_name, format, most) => {
    const grammar = toolGrammar(format, { tools, choice: 'required', parallel: true });
    let calls = 0;
    for (let i = 0; i < 20; i++) {
      const text = await writer.write(grammar);
      if (text === undefined) continue;
      const parsed = parse(format, [text]);
      expect(parsed.text).toBe('');
      expect(parsed.calls.length).toBeGreaterThan(0);
      if (most === 1) expect(parsed.calls).toHaveLength(1);
      for (const [name, json] of parsed.calls) {
        expect(names).toContain(name);
        const given = JSON.parse(json!);
        if (name === 'move') expect(given.to.length).toBeLessThanOrEqual(6);
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
      'llama3',
      llama3,
      true,
      ['', 'Hi {', '{"name": "move_on", "parameters": {}}'],
      ['{"a": 1}', '{"name": "move_on", "parameters": {}} x'],
    ],
  ])('leaves %s free until a call begins', async (_name, format, parallel, yes, no) => {
    const grammar = toolGrammar(format, { tools, choice: 'auto', parallel });
    for (const text of yes) expect(await writer.accepts(grammar, text), text).toBe(true);
    for (const text of no) expect(await writer.accepts(grammar, text), text).toBe(false);
  });
});
