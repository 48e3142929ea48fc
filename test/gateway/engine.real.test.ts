import { expect, it, onTestFinished } from 'vitest';
import { openStore } from '../../artifact/store/open.ts';
import { registryOf } from '../../functions/gateway/model-registry.ts';
import { createModelService } from '../../functions/gateway/model-service.ts';
import { serve } from '../../functions/gateway/serve.ts';
import { loadModel } from '../../functions/model/load-model.ts';
import { detokenize } from '../../functions/text/detokenizer.ts';
import { clientOf } from '../fixtures/gateway.ts';
import { golden } from '../fixtures/pico.ts';
import { storedPico } from '../fixtures/served-pico.ts';

async function servePico(slots = 2, tokens: { chatTemplate?: string } = {}) {
  const { storeUrl } = await storedPico('llama', tokens);
  const store = await openStore(storeUrl);
  const service = createModelService({
    name: 'pico',
    load: (signal) => loadModel(store, 'pico', { slots, threads: 1, spinning: false, signal }),
  });
  const server = await serve(registryOf(service), { port: 0, host: '127.0.0.1' });
  onTestFinished(() => server.close(0));
  return { client: clientOf(server), model: await service.load() };
}

it("continues a prompt as transformers' logits say", async () => {
  const { client, model } = await servePico();
  const { tokens, vocabulary, logits } = await golden('llama');
  for (const length of [1, 7, 20, tokens.length]) {
    const row = logits.subarray((length - 1) * vocabulary, length * vocabulary);
    const likeliest = row.indexOf(Math.max(...row));
    const answer = await client.completions.create({
      model: 'pico',
      prompt: tokens.slice(0, length),
      max_tokens: 1,
      temperature: 0,
    });
    const ended = model.eos.includes(likeliest);
    expect(answer.choices[0]!.text).toBe(ended ? '' : detokenize(model.pieces, [likeliest]));
    expect(answer.usage!.completion_tokens).toBe(ended ? 0 : 1);
  }
});

it("judges a text as transformers' logits say", async () => {
  const { client } = await servePico();
  const { tokens, vocabulary, logits } = await golden('llama');
  const body = { model: 'pico', prompt: tokens, echo: true, logprobs: 3, temperature: 0 };
  const { choices } = await client.completions.create({ ...body, max_tokens: 3 });
  const { token_logprobs, top_logprobs } = choices[0]!.logprobs!;
  const last = logits.subarray(-vocabulary);
  const made = last.indexOf(Math.max(...last));
  expect(token_logprobs![0]).toBeNull();
  for (const [i, token] of tokens.slice(1).entries()) {
    const row = logits.subarray(i * vocabulary, (i + 1) * vocabulary);
    const level = Math.log(row.reduce((sum, logit) => sum + Math.exp(logit), 0));
    expect(token_logprobs![i + 1]).toBeCloseTo(row[token]! - level, 3);
    expect(Math.max(...Object.values(top_logprobs![i + 1]!))).toBeCloseTo(Math.max(...row) - level, 3);
  }
  // Harnesses take the tokens between a prompt's and the last: there is one more, also where that one ends the text.
  for (const stop_token_ids of [[], [made]]) {
    const harness = { ...body, max_tokens: 1, ignore_eos: true, stop_token_ids };
    const { logprobs } = (await client.completions.create(harness)).choices[0]!;
    expect(logprobs!.token_logprobs).toHaveLength(tokens.length + 1);
  }
  const alone = await client.completions.create({ ...body, max_tokens: 0 });
  expect(alone.choices[0]!.logprobs!.token_logprobs).toEqual(token_logprobs!.slice(0, tokens.length));
});

it('gives the same text streamed, whole, side by side and by seed', async () => {
  const { client } = await servePico();
  const body = { model: 'pico', prompt: 'Once upon a time', max_tokens: 30, seed: 7 };
  const whole = async () => (await client.completions.create(body)).choices[0]!.text;
  const streamed = async () => {
    let text = '';
    for await (const chunk of await client.completions.create({ ...body, stream: true })) {
      text += chunk.choices[0]?.text ?? '';
    }
    return text;
  };
  const first = await whole();
  expect(first.length).toBeGreaterThan(0);
  expect(await Promise.all([streamed(), whole(), streamed(), whole()])).toEqual(Array(4).fill(first));
  expect((await client.completions.create({ ...body, seed: 8 })).choices[0]!.text).not.toBe(first);
});

it("frees a closed connection's slot", async () => {
  const { client } = await servePico(1);
  const abort = new AbortController();
  const endless = { model: 'pico', prompt: 'Once', max_tokens: 120, stream: true, seed: 1 } as const;
  const stream = await client.completions.create(endless, { signal: abort.signal });
  const waiting = client.completions.create({ model: 'pico', prompt: 'The', max_tokens: 2 });
  for await (const _ of stream) break;
  expect((await waiting).choices).toHaveLength(1);
});

it('chats through the checkpoint’s own template and fills the context', async () => {
  const { client, model } = await servePico();
  const answer = await client.chat.completions.create({
    model: 'pico',
    messages: [{ role: 'user', content: 'Hi' }],
    seed: 3,
  });
  const text = '<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n';
  const prompt = model.tokenizer.encode(text, { addSpecialTokens: false });
  expect(answer.usage!.prompt_tokens).toBe(prompt.length);
  const { finish_reason } = answer.choices[0]!;
  if (finish_reason === 'length') expect(answer.usage!.total_tokens).toBe(model.engine.limits.contextLength);
  else expect(finish_reason).toBe('stop');
  const { timings } = answer as unknown as { timings: Record<string, number> };
  expect(timings.prefill_ms).toBeGreaterThan(0);
});

it('completes with a model whose chat template is broken, and tells those who chat', async () => {
  const { client } = await servePico(1, { chatTemplate: '{% if %}' });
  const { choices } = await client.completions.create({ model: 'pico', prompt: 'Once', max_tokens: 2 });
  expect(choices).toHaveLength(1);
  const chat = client.chat.completions.create({ model: 'pico', messages: [{ role: 'user', content: 'Hi' }] });
  await expect(chat).rejects.toMatchObject({ status: 400, code: 'chat_not_supported' });
  await expect(chat).rejects.toThrow(/cannot be compiled/);
});

it('reads what prompts have in common once, and says so', async () => {
  const { client, model } = await servePico(4);
  const ids = (await golden('llama')).tokens;
  const ask = async (prompt: number[], more: object = {}) => {
    const body = { model: 'pico', prompt, max_tokens: 4, temperature: 0, ...more };
    const { usage, choices } = await client.completions.create(body);
    return { cached: usage!.prompt_tokens_details!.cached_tokens, texts: choices.map(({ text }) => text) };
  };
  const first = await ask(ids.slice(0, 40));
  expect(first.cached).toBe(0);
  expect(await ask(ids.slice(0, 40))).toEqual({ cached: 38, texts: first.texts });
  expect((await ask([...ids.slice(0, 30), 5, 6, 7])).cached).toBe(30);
  const salted = await ask(ids.slice(0, 40), { cache_salt: 'mine' });
  expect(salted).toEqual(first);

  const together = await ask([9, ...ids.slice(0, 30)], { n: 3 });
  expect(together.cached).toBe(0);
  expect(new Set(together.texts).size).toBe(1);
  const { prefixQueries, prefixHits, running, kvTokens, kvBytes, kvLimitBytes } = await model.engine.stats!();
  expect(running).toBe(0);
  expect(prefixQueries).toBe(40 + 40 + 33 + 40 + 3 * 31);
  expect(prefixHits).toBe(38 + 30 + 2 * 30);
  expect(kvTokens).toBeGreaterThan(70);
  expect(kvBytes).toBeLessThan(kvLimitBytes);
});
