import { readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeAll, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { InvalidDataError, NotFoundError, UsageError } from '../../../artifact/errors.ts';
import { openCheckpoint } from '../../../compressor/checkpoint/open.ts';
import { pullCheckpoint } from '../../../compressor/checkpoint/pull/pull.ts';
import { parsePullSpec, pullFolder } from '../../../compressor/checkpoint/pull/spec.ts';
import { type HubServer, startHub } from '../../fixtures/hub-server.ts';
import { picoPath } from '../../fixtures/pico.ts';
import { temporaryFolder } from '../../fixtures/temporary-folder.ts';

const repository = 'maker/pico';
const spec = `hf:${repository}`;

let sharded: Record<string, Uint8Array>;
let single: Record<string, Uint8Array>;

async function filesOf(folder: string): Promise<Record<string, Uint8Array>> {
  const names = (await readdir(folder)).filter((name) => name !== 'golden.json' && !name.startsWith('.'));
  return Object.fromEntries(
    await Promise.all(names.map(async (name) => [name, await readFile(join(folder, name))])),
  );
}

beforeAll(async () => {
  sharded = await filesOf(picoPath('llama-sharded'));
  single = await filesOf(picoPath('llama'));
});

async function hubOf(files: Record<string, Uint8Array>, token?: string): Promise<HubServer> {
  const hub = await startHub(repository, files, token);
  onTestFinished(() => hub.close());
  vi.stubEnv('HF_ENDPOINT', hub.url);
  return hub;
}

beforeEach(() => {
  vi.stubEnv('HF_TOKEN', '');
});
afterEach(() => {
  vi.unstubAllEnvs();
});

const contentRequests = (hub: HubServer, name: string) =>
  hub.requests.filter(({ path, range }) => path === `/${name}` && range !== 'bytes=0-0');

describe('pulling a checkpoint', () => {
  it('brings a sharded one byte for byte, ready to open, and nothing else', async () => {
    await hubOf({
      ...sharded,
      'pytorch_model.bin': new Uint8Array(9),
      'README.md': new Uint8Array(9),
      'consolidated.safetensors': new Uint8Array(9),
    });
    const to = await temporaryFolder();
    const progress: [number, number][] = [];
    const path = await pullCheckpoint(spec, {
      to,
      onProgress: (_, done, total) => progress.push([done, total]),
    });
    expect(path).toBe(to);
    expect(await filesOf(to)).toEqual(sharded);
    expect(progress.at(-1)![0]).toBe(progress.at(-1)![1]);
    const checkpoint = await openCheckpoint(path);
    expect(checkpoint.architecture.layers).toHaveLength(3);
    await checkpoint.close();
  });

  it('leaves nothing of an earlier revision that would be read', async () => {
    const to = await temporaryFolder();
    const first = await hubOf({ ...sharded, 'chat_template.jinja': new TextEncoder().encode('old') });
    await pullCheckpoint(spec, { to });
    await first.close();
    await writeFile(join(to, 'notes.txt'), 'mine');
    const { 'generation_config.json': _, ...second } = single;
    await hubOf(second);
    await pullCheckpoint(spec, { to });
    const names = (await readdir(to)).filter((name) => !name.startsWith('.'));
    expect(names.sort()).toEqual([...Object.keys(second), 'notes.txt'].sort());
    const checkpoint = await openCheckpoint(to);
    expect(checkpoint.tokens.chatTemplate).not.toBe('old');
    await checkpoint.close();
  });

  it('puts it into the cache under its name', async () => {
    await hubOf(single);
    const cache = await temporaryFolder();
    vi.stubEnv('FOLDGATE_CACHE', cache);
    expect(await pullCheckpoint(spec)).toBe(join(cache, 'checkpoints/maker/pico'));
  });

  it('goes on where a cut connection stopped', async () => {
    const hub = await hubOf(single);
    hub.cutAfter.set('model.safetensors', 100_000);
    const to = await temporaryFolder();
    await pullCheckpoint(spec, { to, firstWaitMs: 1 });
    expect(await filesOf(to)).toEqual(single);
    const ranges = contentRequests(hub, 'model.safetensors').map(({ range }) => range);
    expect(ranges).toHaveLength(2);
    expect(ranges[0]).toBeUndefined();
    const start = Number(/^bytes=(\d+)-/.exec(ranges[1]!)![1]);
    expect(start).toBeGreaterThan(0);
    expect(start).toBeLessThanOrEqual(100_000);
  });

  it('goes on from what an interrupted pull left', async () => {
    const hub = await hubOf(single);
    const to = await temporaryFolder();
    await writeFile(join(to, 'model.safetensors.partial'), single['model.safetensors']!.subarray(0, 5000));
    await pullCheckpoint(spec, { to });
    expect(await filesOf(to)).toEqual(single);
    expect(contentRequests(hub, 'model.safetensors')[0]!.range).toMatch(/^bytes=5000-/);
  });

  it('begins again where what was left is of another version', async () => {
    await hubOf(single);
    const to = await temporaryFolder();
    await writeFile(join(to, 'model.safetensors.partial'), new Uint8Array(5000));
    await pullCheckpoint(spec, { to });
    expect(await filesOf(to)).toEqual(single);
  });

  it('fetches nothing twice, but what has changed', async () => {
    const hub = await hubOf(single);
    const to = await temporaryFolder();
    await pullCheckpoint(spec, { to });
    const before = await stat(join(to, 'model.safetensors'));
    await writeFile(join(to, 'config.json'), Uint8Array.from(single['config.json']!).fill(32));
    hub.requests.length = 0;
    await pullCheckpoint(spec, { to });
    expect(await filesOf(to)).toEqual(single);
    expect((await stat(join(to, 'model.safetensors'))).mtimeMs).toBe(before.mtimeMs);
    expect(contentRequests(hub, 'model.safetensors')).toHaveLength(0);
  });

  it.each(['model.safetensors', 'config.json'])(
    'refuses a %s with another hash, and keeps none of it',
    async (name) => {
      const hub = await hubOf(single);
      hub.forged.set(name, Uint8Array.from(single[name]!).fill(7, 20, 40));
      const to = await temporaryFolder();
      await expect(pullCheckpoint(spec, { to })).rejects.toThrow(InvalidDataError);
      expect((await readdir(to)).filter((file) => file.startsWith(name))).toEqual([]);
    },
  );

  it('takes no more than the listing announced', async () => {
    const hub = await hubOf(single);
    hub.forged.set('model.safetensors', new Uint8Array(8_000_000));
    const to = await temporaryFolder();
    const seen: number[] = [];
    await expect(pullCheckpoint(spec, { to, onProgress: (_, done) => seen.push(done) })).rejects.toThrow(
      InvalidDataError,
    );
    expect(Math.max(...seen)).toBeLessThan(300_000);
  });

  it('shows the token to the hub, never to the content server', async () => {
    const hub = await hubOf(single, 'hf_secret');
    vi.stubEnv('HF_TOKEN', 'hf_secret');
    await pullCheckpoint(spec, { to: await temporaryFolder() });
    const [atHub, elsewhere] = [true, false].map((atHub) =>
      hub.requests.filter(({ path }) => path.includes(repository) === atHub),
    );
    expect(atHub!.length).toBeGreaterThan(5);
    expect(atHub!.every(({ authorization }) => authorization === 'Bearer hf_secret')).toBe(true);
    expect(elsewhere!.length).toBeGreaterThan(0);
    expect(elsewhere!.every(({ authorization }) => authorization === undefined)).toBe(true);
  });

  it('says what to do without access, without the model and without the network', async () => {
    const hub = await hubOf(single, 'hf_secret');
    const to = await temporaryFolder();
    await expect(pullCheckpoint(spec, { to })).rejects.toThrow(/HF_TOKEN/);
    vi.stubEnv('HF_TOKEN', 'hf_secret');
    await expect(pullCheckpoint('hf:maker/other', { to })).rejects.toThrow(NotFoundError);
    hub.failures.push(503);
    await expect(pullCheckpoint(spec, { to })).rejects.toThrow(/503/);
    vi.stubEnv('HF_ENDPOINT', 'http://127.0.0.1:1');
    await expect(pullCheckpoint(spec, { to })).rejects.toThrow(/connection to the hub failed/);
  });

  it('does without the hub where everything was pulled before, and says so', async () => {
    const hub = await hubOf(single);
    const to = await temporaryFolder();
    await pullCheckpoint(spec, { to });
    hub.failures.push(503, 503, 503);
    const notices: string[] = [];
    const onNotice = (message: string) => notices.push(message);
    expect(await pullCheckpoint(spec, { to, onNotice })).toBe(to);
    expect(notices).toEqual([expect.stringContaining('Using what was pulled before')]);
    await expect(pullCheckpoint(`${spec}@v2`, { to, onNotice })).rejects.toThrow(NotFoundError);
    await expect(pullCheckpoint(spec, { to, gguf: 'x.gguf', onNotice })).rejects.toThrow(/503/);
    // A pull that fails midway is no whole checkpoint, whatever was there before.
    hub.failures.length = 0;
    await writeFile(join(to, 'model.safetensors'), 'damaged');
    hub.forged.set('model.safetensors', new Uint8Array(10_000));
    await expect(pullCheckpoint(spec, { to, firstWaitMs: 1 })).rejects.toThrow();
    hub.failures.push(503);
    await expect(pullCheckpoint(spec, { to })).rejects.toThrow(/503/);
  });

  it('stops on its signal, keeping what came for the next time', async () => {
    await hubOf(single);
    const to = await temporaryFolder();
    const controller = new AbortController();
    const onProgress = (_: string, done: number) => {
      if (done > 50_000) controller.abort(new DOMException('Stopped.', 'AbortError'));
    };
    await expect(pullCheckpoint(spec, { to, onProgress, signal: controller.signal })).rejects.toThrow(
      /Stopped/,
    );
    expect(await readdir(to)).not.toContain('.pull.lock');
    await pullCheckpoint(spec, { to });
    expect(await filesOf(to)).toEqual(single);
  });

  it('refuses an index that leads out of the folder', async () => {
    const index = JSON.stringify({ weight_map: { a: '../../evil.safetensors' } });
    await hubOf({
      ...sharded,
      'model.safetensors.index.json': Buffer.from(index),
      '../../evil.safetensors': new Uint8Array(9),
    });
    const to = await temporaryFolder();
    await expect(pullCheckpoint(spec, { to })).rejects.toThrow(/evil\.safetensors.*plain name/);
  });
});

describe('pulling GGUF files', () => {
  it('brings the one that is named and gives its path', async () => {
    const bytes = await readFile(picoPath('llama-q8_0.gguf'));
    await hubOf({ 'q8/pico.gguf': bytes, 'pico-q4.gguf': new Uint8Array(9) });
    const to = await temporaryFolder();
    expect(await pullCheckpoint(spec, { to, gguf: 'q8/pico.gguf' })).toBe(join(to, 'pico.gguf'));
    expect(Object.keys(await filesOf(to))).toEqual(['pico.gguf']);
    const checkpoint = await openCheckpoint(to);
    await checkpoint.close();
  });

  it('names those there are', async () => {
    await hubOf({ 'pico-q4.gguf': new Uint8Array(9), 'config.json': new Uint8Array(2) });
    const to = await temporaryFolder();
    await expect(pullCheckpoint(spec, { to })).rejects.toThrow(/--gguf: pico-q4\.gguf/);
    await expect(pullCheckpoint(spec, { to, gguf: 'x.gguf' })).rejects.toThrow(/pico-q4\.gguf/);
  });

  it('warns of pickles', async () => {
    await hubOf({ 'pytorch_model.bin': new Uint8Array(9) });
    await expect(pullCheckpoint(spec, { to: await temporaryFolder() })).rejects.toThrow(/pickles/);
  });
});

describe('names of checkpoints', () => {
  it('have an organization, a name and perhaps a revision', () => {
    expect(parsePullSpec('hf:a/b')).toEqual({ organization: 'a', name: 'b', revision: 'main' });
    expect(parsePullSpec('hf:a-1/B.c_2@refs/pr/3').revision).toBe('refs/pr/3');
    expect(pullFolder(parsePullSpec('hf:a/b@refs/pr/3'))).toBe('checkpoints/a@refs--pr--3/b');
  });

  it.each([
    'a/b',
    'hf:a',
    'hf:../b',
    'hf:a/..',
    'hf:a/b/c',
    'hf:a/b@',
    'hf:a/b@../x',
    'hf:a/b?x',
    'hf:/b',
    'hf:a/b@x y',
  ])('are refused: %s', (text) => {
    expect(() => parsePullSpec(text)).toThrow(UsageError);
  });

  it.each([
    ['HF_TOKEN', 'secret'],
    ['HF_ENDPOINT', 'hub.example'],
  ])('a wrong %s is a wrong usage', async (name, value) => {
    vi.stubEnv(name, value);
    await expect(pullCheckpoint(spec, { to: await temporaryFolder() })).rejects.toThrow(UsageError);
  });
});
