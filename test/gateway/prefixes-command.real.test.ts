import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import OpenAI from 'openai';
import { expect, it } from 'vitest';
import { addPrefix } from '../../cli/add-prefix.ts';
import { foldgate } from '../fixtures/command-line.ts';
import { storedPico } from '../fixtures/served-pico.ts';
import { serving } from '../fixtures/serving.ts';
import { temporaryFolder } from '../fixtures/temporary-folder.ts';

const never = new AbortController().signal;
const system = { role: 'system' as const, content: 'Tell short stories for little children. Be kind.' };

async function file(name: string, content: unknown): Promise<string> {
  const path = join(await temporaryFolder(), name);
  await writeFile(path, typeof content === 'string' ? content : JSON.stringify(content));
  return path;
}

it("computes a chat's beginning, serves it, and removes it", async () => {
  const { storeUrl, modelUrl } = await storedPico('llama');
  const chat = await file('chat.json', [system]);
  const added = await foldgate('prefixes', 'add', modelUrl, '--chat', chat, '--name', 'stories');
  expect(added).toMatchObject({ code: 0, stdout: 'stories\n' });
  const listed = await foldgate('prefixes', 'list', modelUrl, '--json');
  const [entry, ...others] = JSON.parse(listed.stdout);
  expect(others).toEqual([]);
  expect(entry).toMatchObject({ name: 'stories', elementType: 'float32' });

  const ask = async (...args: string[]) => {
    const { url, stop } = await serving(storeUrl, args);
    const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: 'any', maxRetries: 0 });
    const messages = [system, { role: 'user' as const, content: 'Of a hen.' }];
    const body = { model: 'pico', messages, temperature: 0, max_tokens: 10 };
    const { choices, usage } = await client.chat.completions.create(body);
    await stop();
    return { text: choices[0]!.message.content, cached: usage!.prompt_tokens_details!.cached_tokens };
  };
  const [stored, computed] = [await ask(), await ask('--no-stored-prefixes')];
  expect(stored.cached).toBe(entry.tokens); // up to the user's own words
  expect(computed).toEqual({ text: stored.text, cached: 0 });

  expect((await foldgate('inspect', modelUrl)).stdout).toMatch(/PREFIX .*\nstories +\d/);
  expect((await foldgate('list', storeUrl)).stdout).toMatch(/ SIZE +PREFIXES .*\npico .* [kM]?B +1 /);
  expect((await foldgate('prefixes', 'remove', modelUrl, 'stories')).code).toBe(0);
  const gone = await foldgate('prefixes', 'remove', modelUrl, 'stories');
  expect(gone).toMatchObject({ code: 1, stderr: expect.stringMatching(/no prefix stories/) });
});

it('is for servers that keep keys and values as it has them', async () => {
  const cacheText = [Int32Array.from({ length: 100 }, (_, i) => (i * 37 + 5) % 280)];
  const { storeUrl, modelUrl } = await storedPico('llama', { cacheText });
  const text = await file('text.txt', system.content);
  const add = await foldgate('prefixes', 'add', modelUrl, '--text', text, '--kv-cache', 'int8');
  expect(add.code, add.stderr).toBe(0);
  const [{ tokens, bytes, elementType }] = JSON.parse(
    (await foldgate('prefixes', 'list', modelUrl, '--json')).stdout,
  );
  expect(elementType).toBe('int8');
  expect(bytes).toBe(tokens * 3 * 2 * 2 * 16); // layers, parts, heads, channels: a byte each
  for (const [kvCache, cached] of [
    ['int8', tokens],
    ['float32', 0],
  ]) {
    const { url, stop } = await serving(storeUrl, ['--kv-cache', kvCache]);
    const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: 'any', maxRetries: 0 });
    const prompt = `${system.content} Once upon a time`;
    const { usage } = await client.completions.create({ model: 'pico', prompt, max_tokens: 2 });
    await stop();
    expect(usage!.prompt_tokens_details?.cached_tokens ?? 0).toBe(cached);
  }
});

it('names a prefix by its tokens, and takes tools, texts and a question that is to be answered', async () => {
  const { modelUrl } = await storedPico('llama');
  const add = (options: object) => addPrefix(modelUrl, { ...options, threads: 1, signal: never });
  const text = await file('text.txt', system.content);
  const first = await add({ text });
  expect(first.name).toMatch(/^[0-9a-f]{12}$/);
  expect((await add({ text })).name).toBe(first.name); // the same tokens once more
  const question = { role: 'user', content: system.content };
  const asked = await add({ chat: await file('asked.json', { messages: [question] }) });
  const more = await add({
    chat: await file('more.json', [question, { role: 'assistant', content: 'Yes.' }]),
  });
  expect(more.tokens).toBeGreaterThan(asked.tokens);
});

it('says what is wrong with what it is given', async () => {
  const { modelUrl } = await storedPico('llama');
  const add = (options: object) => addPrefix(modelUrl, { ...options, threads: 1, signal: never });
  await expect(add({})).rejects.toThrow(/one of --text and --chat/);
  await expect(add({ text: await file('a', 'Hi') })).rejects.toThrow(
    /makes \d+ tokens. Beginnings of less than 16/,
  );
  await expect(add({ chat: await file('a', '{') })).rejects.toThrow(/is no JSON; an array of messages/);
  const wrong = [{ role: 'narrator', content: '?' }];
  await expect(add({ chat: await file('a', wrong) })).rejects.toThrow(/holds no messages:.*role should be/s);
  const text = await file('a', system.content);
  await expect(add({ text, name: 'a b' })).rejects.toThrow(/no name of a prefix/);
});
