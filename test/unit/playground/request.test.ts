import { execFileSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { chatRequest, curlOf, textRequest } from '../../../functions/gateway/playground/page/request.js';
import { sliders } from '../../../functions/gateway/playground/page/sliders.js';
import { chatSchema } from '../../../functions/gateway/schemas/chat.ts';
import { completionSchema } from '../../../functions/gateway/schemas/completion.ts';

const numbers = Object.fromEntries(sliders.map(({ name, initial }) => [name, initial]));
const settings = { numbers, seed: undefined, stop: [], system: '' };

describe("the playground's requests", () => {
  it('have every setting that changes something, and are what the API takes', () => {
    const changed = {
      numbers: { temperature: 0, top_p: 0.5, top_k: 40, min_p: 0.1, max_tokens: 7 },
      seed: 5,
      stop: ['\n'],
      system: ' Be kind. ',
    };
    const { body, path } = chatRequest('tales', [{ role: 'user', content: 'Hi' }], changed);
    expect(path).toBe('v1/chat/completions');
    expect(body).toMatchObject({ ...changed.numbers, seed: 5, stop: ['\n'], stream: true });
    expect(body.messages).toEqual([
      { role: 'system', content: 'Be kind.' },
      { role: 'user', content: 'Hi' },
    ]);
    expect(chatSchema.parse(body)).toMatchObject(changed.numbers);
    expect(completionSchema.parse(textRequest('tales', 'Once', changed).body)).toMatchObject(changed.numbers);
  });

  it('send what every slider shows, whatever the model has by default', () => {
    const initial = Object.fromEntries(sliders.map(({ name, initial }) => [name, initial]));
    expect(textRequest('tales', 'Once', { ...settings, numbers: initial }).body).toMatchObject(initial);
  });

  it('have limits that the API has too', () => {
    for (const { name, min, max, limit = max } of sliders) {
      for (const value of [min, limit]) {
        const body = { model: 'tales', prompt: '', [name]: value };
        expect(completionSchema.safeParse(body), `${name} ${value}`).toMatchObject({ success: true });
      }
    }
  });
});

describe('a request as a command', () => {
  const nasty = 'It\'s "$HOME" `id` \\ $(id) !\n<b>\u2028 é';

  it('passes any text through a shell as it is', () => {
    const request = textRequest('tales', nasty, settings);
    const command = curlOf('http://h/pa th/', request, false).replace(/^curl/, "printf '%s\\0'");
    const [, url, , , , body] = execFileSync('bash', ['-c', command], { encoding: 'utf8' }).split('\0');
    expect(url).toBe('http://h/pa th/v1/completions');
    const { stream_options: _, ...told } = request.body;
    expect(JSON.parse(body!)).toEqual(told);
  });

  it('names the key without telling it', () => {
    const request = textRequest('tales', 'Once', settings);
    expect(curlOf('http://h/', request, true)).toContain('-H "Authorization: Bearer $FOLDGATE_API_KEY"');
    expect(curlOf('http://h/', request, false)).not.toContain('Authorization');
  });
});
