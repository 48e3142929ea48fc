import { afterAll, describe, expect, it } from 'vitest';
import { chatTemplate } from '../../../artifact/chat-template.ts';
import { toolGrammar } from '../../../functions/model/tools/grammar.ts';
import type { Tool } from '../../../functions/model/tools/tool.ts';
import { GrammarWriter } from '../../fixtures/grammar-writer.ts';
import { seeded } from '../../fixtures/random-checkpoint.ts';
import { formatOf, parseCalls, toolFile } from '../../fixtures/tools/forms.ts';

describe('the templates of the forms', () => {
  const writer = new GrammarWriter(seeded(5));
  afterAll(() => writer[Symbol.dispose]());
  const read = (name: string) => JSON.parse(toolFile(name));
  const { messages, tools: sources } = read('conversation.json');
  const rendered: Record<string, string> = read('rendered.json');
  const called: Tool[] = sources.map(({ function: { name, parameters } }: { function: Tool }) => ({
    name,
    parameters,
    strict: true,
    source: {},
  }));

  it.each(Object.keys(rendered))(
    '%s: calls and results are rendered as in transformers, and read back',
    async (name) => {
      const template = chatTemplate(toolFile(`${name}.jinja`), { bos_token: '<s>', eos_token: '</s>' });
      expect(template.render(messages, { tools: sources })).toBe(rendered[name]);
      const [user, assistant] = messages;
      const before = template.render([user], { tools: sources });
      const whole = template.render([user, assistant], { tools: sources, answer: false });
      const answer = whole.slice(before.length).replace(/(?:<\/s>|<\|im_end\|>\n|<\|end\|>)$/, '');
      const format = formatOf(name);
      const { ebnf } = toolGrammar(format, { tools: called, choice: 'required', parallel: true });
      expect(await writer.accepts(ebnf, answer), answer).toBe(true);
      expect(parseCalls(format, [answer])).toEqual({
        text: '',
        calls: [
          ['move', '{"to": "the \\"left\\"\\n]}", "by": [1, 2]}'],
          ['move_on', '{}'],
        ],
      });
    },
  );
});
