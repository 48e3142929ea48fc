import type OpenAI from 'openai';
import { describe, expect, it } from 'vitest';
import { startGateway, type TestGateway } from '../fixtures/gateway.ts';
import { scriptedLogprobs } from '../fixtures/scripted-engine.ts';

type Content = OpenAI.Chat.Completions.ChatCompletionTokenLogprob[];

const own = (id: number) => scriptedLogprobs(id, 0).logprob;

/** The same answer, whole and as the parts of a stream. */
async function bothWays(gateway: TestGateway, fields: Partial<OpenAI.CompletionCreateParamsNonStreaming>) {
  const body = { model: 'tales', prompt: 'x', max_tokens: 100, ...fields };
  const whole = (await gateway.client.completions.create({ ...body, stream: false })).choices[0]!;
  const parts: OpenAI.CompletionChoice[] = [];
  for await (const chunk of await gateway.client.completions.create({ ...body, stream: true })) {
    parts.push(chunk.choices[0]!);
  }
  const reports = parts.flatMap((part) => part.logprobs ?? []);
  const streamed = {
    text: parts.map((part) => part.text).join(''),
    logprobs: {
      tokens: reports.flatMap((report) => report.tokens!),
      token_logprobs: reports.flatMap((report) => report.token_logprobs!),
      top_logprobs: reports.flatMap((report) => report.top_logprobs!),
      text_offset: reports.flatMap((report) => report.text_offset!),
    },
  };
  expect(streamed).toEqual({ text: whole.text, logprobs: whole.logprobs });
  return { text: whole.text, logprobs: whole.logprobs!, parts };
}

describe('log probabilities of completions', () => {
  it('tell of each token, whole and streamed', async () => {
    const text = ' a fox who lived';
    const gateway = await startGateway((model) => () => model.tokens(text));
    const { logprobs, parts } = await bothWays(gateway, { logprobs: 2 });
    const ids = gateway.tokens(text);
    const { tokenizer } = gateway;
    const spelled = (id: number) => tokenizer.tokenOf(id)!.replace('Ġ', ' ');
    expect(logprobs.tokens!.join('')).toBe(text);
    expect(logprobs.token_logprobs).toEqual(ids.map(own));
    expect(logprobs.top_logprobs).toEqual(
      ids.map((id) => ({ [spelled(5)]: -1 / 8, [spelled(6)]: -2 / 8, [spelled(id)]: own(id) })),
    );
    // Each offset is where the token stands in the text.
    logprobs.text_offset!.forEach((offset, i) => {
      expect(text.slice(offset).startsWith(logprobs.tokens![i]!)).toBe(true);
    });
    for (const part of parts) {
      if (part.logprobs) expect(part.text).toBe(part.logprobs.tokens!.join(''));
    }
  });

  it('name the token alone where none of the likeliest is asked for', async () => {
    const gateway = await startGateway(() => () => [20, 30]);
    const { logprobs } = await bothWays(gateway, { logprobs: 0 });
    expect(logprobs.top_logprobs!.map((top) => Object.values(top!))).toEqual([[own(20)], [own(30)]]);
  });

  it('are null where nobody asks, empty where there are no tokens', async () => {
    const { client } = await startGateway(() => () => []);
    const ask = (fields: object) => client.completions.create({ model: 'tales', prompt: 'x', ...fields });
    expect((await ask({})).choices[0]!.logprobs).toBeNull();
    expect((await ask({ logprobs: 3 })).choices[0]!.logprobs).toEqual({
      tokens: [],
      token_logprobs: [],
      top_logprobs: [],
      text_offset: [],
    });
  });

  it('keep the parts of a character together, each by its bytes', async () => {
    const gateway = await startGateway((model) => () => model.tokens(' a👩 b'));
    const { logprobs, parts } = await bothWays(gateway, { logprobs: 0 });
    const woman = gateway.tokens('👩').length;
    expect(woman).toBeGreaterThan(1);
    const bytes = logprobs.tokens!.filter((token) => token.startsWith('bytes:'));
    expect(bytes.map((token) => token.slice('bytes:'.length)).join('')).toBe('\\xf0\\x9f\\x91\\xa9');
    expect(bytes).toHaveLength(woman);
    // Offsets count code points: the character is one, though JavaScript counts two.
    expect(logprobs.text_offset).toEqual([0, ...Array(woman).fill(2), 3]);
    const part = parts.find(({ text }) => text.includes('👩'))!;
    expect(part.logprobs!.tokens).toEqual(bytes);
  });

  it('tell where text goes on after a character that was never finished', async () => {
    const gateway = await startGateway((model) => () => {
      const [first] = model.tokens('👩');
      return [first!, ...model.tokens(' b'), first!];
    });
    const { text, logprobs } = await bothWays(gateway, { logprobs: 0 });
    expect(text).toBe('\uFFFD b\uFFFD');
    expect(logprobs.text_offset).toEqual([0, 1, 3]);
    expect(Object.keys(logprobs.top_logprobs![0]!)).toEqual([logprobs.tokens![0]]);
  });

  it.each([
    ['at a token', ' who', ' a fox'],
    ['in a token', 'ox', ' a f'],
    ['across tokens', 'fox who', ' a '],
    ['that never comes', 'nobody', ' a fox who lived'],
    ['that only begins', ' lived on', ' a fox who lived'],
  ])('tell nothing of what a stop string cuts off (%s)', async (_what, stop, text) => {
    const gateway = await startGateway((model) => () => model.tokens(' a fox who lived'));
    const answer = await bothWays(gateway, { logprobs: 1, stop });
    expect(answer.text).toBe(text);
    const made = gateway.tokens(' a fox who lived');
    const { tokens, text_offset, token_logprobs } = answer.logprobs;
    // Whatever begins within the text, and nothing else.
    expect(text_offset!.every((offset) => offset < text.length)).toBe(true);
    expect(tokens!.join('').startsWith(text)).toBe(true);
    expect(token_logprobs).toEqual(made.slice(0, tokens!.length).map(own));
  });

  it('never give a stop string away while it may yet come', async () => {
    const gateway = await startGateway(() => () => undefined);
    const request = gateway.client.completions.create({
      model: 'tales',
      prompt: 'x',
      logprobs: 0,
      stop: ' fox who',
      stream: true,
    });
    const call = await gateway.engine.nextCall();
    call.emit(...gateway.tokens(' a'), ...gateway.tokens(' fox'));
    const chunks = (await request)[Symbol.asyncIterator]();
    const next = async () => (await chunks.next()).value!.choices[0]!;
    expect((await next()).logprobs!.tokens).toEqual([' a']);
    call.emit(...gateway.tokens(' was'));
    expect((await next()).logprobs!.tokens).toEqual([' fox', ' was']);
    call.emit(...gateway.tokens(' fox'), ...gateway.tokens(' who'));
    expect(await next()).toMatchObject({ text: '', logprobs: null, finish_reason: 'stop' });
  });

  it('tell of a stop string that is shown', async () => {
    const gateway = await startGateway((model) => () => model.tokens(' a fox who lived'));
    const shown = { logprobs: 0, stop: 'ox', include_stop_str_in_output: true };
    const { text, logprobs } = await bothWays(gateway, shown);
    expect(text).toBe(' a fox');
    expect(logprobs.tokens!.join('')).toBe(text);
  });

  it('spell control tokens, which have no text', async () => {
    const gateway = await startGateway(
      (model) => () => [...model.tokens(' a'), 4096, ...model.tokens(' b'), 4096],
      {
        controlTokens: ['<|pause|>'],
      },
    );
    const hidden = await bothWays(gateway, { logprobs: 0 });
    expect(hidden.text).toBe(' a b');
    expect(hidden.logprobs.tokens).toEqual([' a', '<|pause|>', ' b', '<|pause|>']);
    expect(hidden.logprobs.text_offset).toEqual([0, 2, 2, 4]);
    const shown = await bothWays(gateway, { logprobs: 0, skip_special_tokens: false } as object);
    expect(shown.text).toBe(' a<|pause|> b<|pause|>');
    expect(shown.logprobs.text_offset).toEqual([0, 2, 11, 13]);
  });

  it('end with the token that ended the text, of which it is no part', async () => {
    const gateway = await startGateway(() => () => undefined);
    const { client, engine, tokens } = gateway;
    const ask = async (run: () => Promise<unknown>) => {
      const answer = run();
      const call = await engine.nextCall();
      call.emit(...tokens(' a fox'));
      call.finish('stop', 0);
      return await answer;
    };
    const body = { model: 'tales', prompt: 'x', logprobs: 0 };
    const whole = (await ask(() => client.completions.create(body))) as OpenAI.Completion;
    const { text, logprobs, finish_reason } = whole.choices[0]!;
    expect([text, finish_reason]).toEqual([' a fox', 'stop']);
    expect(logprobs!.tokens!.slice(-2)).toEqual([' fox', '<|endoftext|>']);
    expect(logprobs!.text_offset!.slice(-2)).toEqual([2, 6]);
    expect(logprobs!.token_logprobs!.at(-1)).toBeCloseTo(own(0));
    expect(whole.usage!.completion_tokens).toBe(tokens(' a fox').length);

    const frames = (await ask(async () => {
      const all = [];
      for await (const chunk of await client.completions.create({ ...body, stream: true })) all.push(chunk);
      return all;
    })) as OpenAI.Completion[];
    const last = frames.at(-1)!.choices[0]!;
    expect([last.text, last.finish_reason, last.logprobs!.tokens]).toEqual(['', 'stop', ['<|endoftext|>']]);

    // Chats tell the tokens of the answer alone.
    const chat = { model: 'tales', messages: [{ role: 'user' as const, content: 'x' }], logprobs: true };
    const answer = (await ask(() => client.chat.completions.create(chat))) as OpenAI.ChatCompletion;
    const told = answer.choices[0]!.logprobs!.content!;
    expect(told.map(({ token }) => token).join('')).toBe(answer.choices[0]!.message.content);
    const showing = { ...chat, include_stop_str_in_output: true, skip_special_tokens: false };
    const shown = (await ask(() => client.chat.completions.create(showing))) as OpenAI.ChatCompletion;
    expect(shown.choices[0]!.message.content).toMatch(/<\|endoftext\|>$/);
    expect(shown.choices[0]!.logprobs!.content!.at(-1)!.token).toBe('<|endoftext|>');
  });

  it('have a number for what is all but impossible', async () => {
    const { client, engine } = await startGateway(() => () => undefined);
    const answer = client.completions.create({ model: 'tales', prompt: 'x', logprobs: 1 });
    const call = await engine.nextCall();
    const top = [{ token: 9, logprob: -Infinity }];
    call.send({ tokens: [8], logprobs: [{ logprob: -Infinity, top }] });
    call.finish('stop');
    const { logprobs } = (await answer).choices[0]!;
    expect(logprobs!.token_logprobs).toEqual([-9999]);
    expect(Object.values(logprobs!.top_logprobs![0]!)).toEqual([-9999, -9999]);
  });
});

describe('log probabilities of an echoed prompt', () => {
  const prompt = 'Once there was 👩';

  it('come first, the very first being null', async () => {
    const gateway = await startGateway((model) => () => model.tokens(' who lived'));
    const { text, logprobs, parts } = await bothWays(gateway, { prompt, logprobs: 1, echo: true });
    expect(text).toBe(`${prompt} who lived`);
    const ids = [0, ...gateway.tokens(prompt), ...gateway.tokens(' who lived')];
    expect(logprobs.token_logprobs).toEqual([null, ...ids.slice(1).map(own)]);
    expect(logprobs.top_logprobs![0]).toBeNull();
    expect(logprobs.top_logprobs!.slice(1).every((top) => Object.keys(top!).length === 2)).toBe(true);
    // What begins every text stands nowhere in this one.
    expect(logprobs.tokens!.slice(0, 2)).toEqual(['<|endoftext|>', 'Once']);
    expect(logprobs.text_offset!.slice(0, 2)).toEqual([0, 0]);
    const characters = [...text];
    logprobs.tokens!.forEach((token, i) => {
      if (i === 0 || token.startsWith('bytes:')) return;
      expect(characters.slice(logprobs.text_offset![i]).join('').startsWith(token)).toBe(true);
    });
    expect(parts[0]!.text).toBe(prompt);
  });

  it('place control tokens where the prompt has them', async () => {
    const options = { controlTokens: ['<|pause|>'] };
    const gateway = await startGateway((model) => () => model.tokens(' b'), options);
    const written = await bothWays(gateway, { prompt: 'a<|pause|> b', logprobs: 0, echo: true });
    expect(written.logprobs.tokens).toEqual(['<|endoftext|>', 'a', '<|pause|>', ' b', ' b']);
    expect(written.logprobs.text_offset).toEqual([0, 0, 1, 10, 12]);
    const ids = [...gateway.tokens('a'), 4096, ...gateway.tokens(' b')];
    const given = await bothWays(gateway, { prompt: ids, logprobs: 0, echo: true });
    expect(given.text).toBe('a b b');
    expect(given.logprobs.tokens).toEqual(['a', '<|pause|>', ' b', ' b']);
    expect(given.logprobs.text_offset).toEqual([0, 1, 1, 3]);
  });

  it('come alone where nothing is to be made', async () => {
    const gateway = await startGateway((model) => () => model.tokens(' who lived'));
    const { text, logprobs } = await bothWays(gateway, { prompt, logprobs: 0, echo: true, max_tokens: 0 });
    expect(text).toBe(prompt);
    expect(logprobs.token_logprobs).toEqual([null, ...gateway.tokens(prompt).map(own)]);
    const answer = await gateway.client.completions.create({
      model: 'tales',
      prompt,
      logprobs: 0,
      echo: true,
      max_tokens: 0,
    });
    expect(answer.choices[0]!.finish_reason).toBe('length');
    expect(answer.usage!.completion_tokens).toBe(0);
  });

  it('are not counted among those that choose the best', async () => {
    const texts = [[40], [10, 12], [30]];
    const { client } = await startGateway(() => (request) => texts[request.sampling.seed!]!);
    const answer = await client.completions.create({
      model: 'tales',
      prompt: [[500, 501, 502], [7]],
      logprobs: 0,
      echo: true,
      best_of: 3,
      n: 1,
      seed: 0,
    });
    const made = answer.choices.map((choice) => choice.logprobs!.token_logprobs);
    expect(made).toEqual([
      [null, own(501), own(502), own(10), own(12)],
      [null, own(10), own(12)],
    ]);
  });
});

describe('log probabilities of chats', () => {
  const messages = [{ role: 'user', content: 'Hello' }] as const;

  async function chatBothWays(gateway: TestGateway, fields: object) {
    const body = { model: 'tales', messages: [...messages], ...fields };
    const whole = (await gateway.client.chat.completions.create({ ...body, stream: false })).choices[0]!;
    const content: Content = [];
    let text = '';
    for await (const chunk of await gateway.client.chat.completions.create({ ...body, stream: true })) {
      content.push(...(chunk.choices[0]!.logprobs?.content ?? []));
      text += chunk.choices[0]!.delta.content ?? '';
    }
    expect(text).toBe(whole.message.content);
    expect(content).toEqual(whole.logprobs?.content ?? []);
    return { text, logprobs: whole.logprobs };
  }

  it('tell of each token, its bytes and the likeliest', async () => {
    const gateway = await startGateway((model) => () => model.tokens('Hi 👩!'));
    const { text, logprobs } = await chatBothWays(gateway, { logprobs: true, top_logprobs: 3 });
    const content = logprobs!.content!;
    expect(content.map(({ logprob }) => logprob)).toEqual(gateway.tokens('Hi 👩!').map(own));
    const bytes = content.flatMap((entry) => entry.bytes!);
    expect(Buffer.from(bytes).toString()).toBe(text);
    for (const entry of content) {
      expect(entry.top_logprobs.map(({ logprob }) => logprob)).toEqual([-1 / 8, -2 / 8, -3 / 8]);
      const broken = !Buffer.from(Buffer.from(entry.bytes!).toString()).equals(Buffer.from(entry.bytes!));
      const hex = entry.bytes!.map((byte) => `\\x${byte.toString(16)}`).join('');
      expect(entry.token).toBe(broken ? hex : Buffer.from(entry.bytes!).toString());
    }
  });

  it('name none of the likeliest unless asked to', async () => {
    const gateway = await startGateway(() => () => [20, 30]);
    const { logprobs } = await chatBothWays(gateway, { logprobs: true });
    expect(logprobs!.content!.map((entry) => entry.top_logprobs)).toEqual([[], []]);
    expect((await chatBothWays(gateway, { logprobs: false, top_logprobs: 0 })).logprobs).toBeNull();
  });

  it('come with the end where the last text was held back', async () => {
    const gateway = await startGateway((model) => () => model.tokens('one two'));
    const { text, logprobs } = await chatBothWays(gateway, { logprobs: true, stop: 'two three' });
    expect(text).toBe('one two');
    expect(logprobs!.content!.map(({ token }) => token).join('')).toBe(text);
  });
});
