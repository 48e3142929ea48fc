import { describe, expect, it } from 'vitest';
import { type ChatMessage, chatTemplate, TemplateRefusal } from '../../../artifact/chat-template.ts';
import { InvalidDataError } from '../../../artifact/errors.ts';
import { golden } from '../../fixtures/text/tokenizers.ts';

interface Goldens {
  namedTokens: Record<string, string>;
  clock: [number, number, number, number, number, number];
  cases: { name: string; template: string; messages: ChatMessage[]; text?: string; refusal?: string }[];
}

const { namedTokens, clock, cases } = await golden<Goldens>('chat.json');
const [year, month, ...rest] = clock;
const now = () => new Date(year, month - 1, ...rest);

describe('chat templates render as in transformers', () => {
  it.each(
    cases.map((entry) => [entry.name, entry.messages.map((message) => message.role).join(), entry] as const),
  )('%s (%s)', (_name, _roles, { template, messages, text, refusal }) => {
    const compiled = chatTemplate(template, namedTokens, now);
    if (refusal === undefined) expect(compiled.render(messages)).toBe(text);
    else expect(() => compiled.render(messages)).toThrow(new TemplateRefusal(refusal));
  });
});

it('refuses a source that is no template', () => {
  expect(() => chatTemplate('{% if %}', {})).toThrow(InvalidDataError);
});

it('leaves out where an answer would begin, when the conversation is read whole', () => {
  const source =
    "{% for m in messages %}{{ m['content'] }};{% endfor %}{% if add_generation_prompt %}>{% endif %}";
  const compiled = chatTemplate(source, {});
  const messages = [{ role: 'user', content: 'a' }];
  expect(compiled.render(messages)).toBe('a;>');
  expect(compiled.render(messages, { answer: false })).toBe('a;');
});
