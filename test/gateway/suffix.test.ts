import { BadRequestError } from 'openai';
import { describe, expect, it } from 'vitest';
import { startGateway } from '../fixtures/gateway.ts';

const styles = [
  ['Qwen', ['<|fim_prefix|>', '<|fim_suffix|>', '<|fim_middle|>'], ['<|fim_pad|>', '<|file_sep|>']],
  ['StarCoder', ['<fim_prefix>', '<fim_suffix>', '<fim_middle>'], ['<file_sep>']],
  ['SantaCoder', ['<fim-prefix>', '<fim-suffix>', '<fim-middle>'], []],
  ['Code Llama', ['▁<PRE>', '▁<SUF>', '▁<MID>'], ['▁<EOT>']],
  ['DeepSeek', ['<｜fim▁begin｜>', '<｜fim▁hole｜>', '<｜fim▁end｜>'], []],
] as const;

describe('a completion before a suffix', () => {
  it.each(styles)('is asked for as %s models were taught', async (name, around, ends) => {
    const gateway = await startGateway((model) => () => model.tokens(' fox'), {
      controlTokens: [...around, ...ends],
    });
    const { client, engine, tokens } = gateway;
    const prompt = 'There was a';
    const answer = await client.completions.create({
      model: 'tales',
      prompt,
      suffix: ' who lived',
      echo: true,
    });
    const { request } = engine.calls[0]!;
    expect(request.prompt).toEqual([0, 4096, ...tokens(prompt), 4097, ...tokens(' who lived'), 4098]);
    expect(answer.choices[0]!.text).toBe('There was a fox');
    expect(answer.usage!.prompt_tokens).toBe(request.prompt.length);
    const known = ends.map((_, i) => 4099 + i);
    expect(new Set(request.stopTokens), name).toEqual(new Set([0, ...known]));
  });

  it('takes a prompt of token ids and an empty one', async () => {
    const gateway = await startGateway(() => () => [5], { controlTokens: styles[0][1] });
    const ask = (prompt: string | number[]) =>
      gateway.client.completions.create({ model: 'tales', prompt, suffix: ' x' });
    for (const prompt of [[0, 7, 8], [7, 8], '']) await ask(prompt);
    const x = gateway.tokens(' x');
    expect(gateway.engine.calls.map(({ request }) => request.prompt)).toEqual([
      [0, 4096, 7, 8, 4097, ...x, 4098],
      [0, 4096, 7, 8, 4097, ...x, 4098],
      [0, 4096, 4097, ...x, 4098],
    ]);
  });

  it('goes past its ends where they are to be ignored', async () => {
    const gateway = await startGateway(() => () => [5], { controlTokens: [...styles[0][1], '<|fim_pad|>'] });
    const body = { model: 'tales', prompt: 'a', suffix: 'b', ignore_eos: true };
    await gateway.client.completions.create(body);
    expect(gateway.engine.calls[0]!.request.stopTokens).toEqual([]);
  });

  it('is refused by models that have no tokens for it, or not all', async () => {
    for (const controlTokens of [[], styles[0][1].slice(0, 2)]) {
      const { client, engine } = await startGateway(() => () => [5], { controlTokens });
      const request = client.completions.create({ model: 'tales', prompt: 'a', suffix: 'b' });
      await expect(request).rejects.toThrow(BadRequestError);
      await expect(request).rejects.toMatchObject({ code: 'suffix_not_supported', param: 'suffix' });
      expect(engine.calls).toHaveLength(0);
    }
  });

  it('is refused where prompt and suffix fill the context together', async () => {
    const options = { controlTokens: styles[0][1], contextLength: 16 };
    const { client } = await startGateway(() => () => [5], options);
    const ask = (prompt: number[], suffix: string) =>
      client.completions.create({ model: 'tales', prompt, suffix });
    const tooLong = { code: 'context_length_exceeded', status: 400 };
    await expect(ask(Array(9).fill(5), ' one two three')).rejects.toMatchObject(tooLong);
    await expect(ask([5], 'word '.repeat(1000))).rejects.toMatchObject({ ...tooLong, param: 'suffix' });
    await ask(Array(8).fill(5), ' one two three');
  });
});
