import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { text as readAll } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { expect, it, onTestFinished } from 'vitest';
import { startFoldgate } from '../fixtures/command-line.ts';
import { storedPico } from '../fixtures/served-pico.ts';

const foldgate = fileURLToPath(new URL('../../bin/foldgate.js', import.meta.url));

function start(...args: string[]) {
  const child = spawn(process.execPath, [foldgate, ...args], { stdio: ['pipe', 'pipe', 'pipe'] });
  onTestFinished(() => void child.kill('SIGKILL'));
  const exited = new Promise<number | null>((resolve) => child.once('exit', resolve));
  return { child, exited, stdout: child.stdout, stderr: child.stderr };
}

async function finish(...args: string[]) {
  const { exited, stdout, stderr, child } = start(...args);
  child.stdin.end();
  const [out, err, code] = await Promise.all([readAll(stdout), readAll(stderr), exited]);
  return { out, err, code };
}

/** Starts `serve` and waits until the model is ready. */
async function serving(storeUrl: string, ...args: string[]) {
  const server = start(
    'serve',
    '--store',
    storeUrl,
    '--model',
    'pico',
    '--port',
    '0',
    '--threads',
    '1',
    ...args,
  );
  let log = '';
  const url = await new Promise<string>((resolve, reject) => {
    server.stderr.on('data', (data) => {
      log += data;
      const ready = /pico is ready: (http:\S+)\/v1/.exec(log);
      if (ready) resolve(ready[1]!);
    });
    void server.exited.then(() => reject(new Error(`serve ended:\n${log}`)));
  });
  return { ...server, url, log: () => log };
}

const post = (url: string, body: object) =>
  fetch(`${url}/v1/completions`, { method: 'POST', body: JSON.stringify({ model: 'pico', ...body }) });

it('serve answers on localhost, and run writes the same', async () => {
  const { storeUrl, modelUrl } = await storedPico('llama');
  const { url, child, exited } = await serving(storeUrl, '--context', '64', '--no-spinning');
  expect(new URL(url).hostname).toBe('127.0.0.1');
  expect((await fetch(`${url}/readyz`)).status).toBe(200);
  const response = await post(url, { prompt: 'Once', max_tokens: 20, seed: 5, temperature: 0.9 });
  const answer = (await response.json()) as { choices: [{ text: string }] };
  child.kill('SIGTERM');
  expect(await exited).toBe(0);

  const options = ['--max-tokens', '20', '--seed', '5', '--temperature', '0.9', '--raw', '--stats'];
  const { out, err, code } = await finish('run', modelUrl, 'Once', ...options);
  expect({ out, code }).toEqual({ out: `${answer.choices[0].text}\n`, code: 0 });
  expect(err).toMatch(/prompt: \d+ tokens in \d+ ms.*\ncompletion: \d+ tokens/);
});

it('serve and run let another model draft, and write the same', async () => {
  const { storeUrl, modelUrl } = await storedPico('llama');
  const { url, log } = await serving(storeUrl, '--draft', 'pico=pico', '--no-spinning');
  const body = { prompt: 'Once', max_tokens: 100, temperature: 0, ignore_eos: true };
  const answer = (await (await post(url, body)).json()) as { choices: [{ text: string }] };
  expect(log()).toContain('pico drafts for it');
  const metrics = await (await fetch(`${url}/metrics`)).text();
  const count = (name: string) =>
    Number(new RegExp(`_${name}_total{model_name="pico",method="draft_model"} (\\d+)`).exec(metrics)![1]);
  expect(count('draft_tokens')).toBeGreaterThan(0);
  expect(count('accepted_tokens')).toBe(count('draft_tokens')); // it is the model itself

  const options = ['--max-tokens', '100', '--temperature', '0', '--raw'];
  const [plain, drafted] = [
    await finish('run', modelUrl, 'Once', ...options),
    await finish('run', modelUrl, 'Once', ...options, '--draft', 'pico'),
  ];
  expect(drafted).toEqual(plain);
  expect(answer.choices[0].text.startsWith(plain.out.slice(0, -1))).toBe(true);
  const { err, code } = await finish('run', modelUrl, 'Once', '--draft', 'pico', '--no-speculation');
  expect({ err, code }).toEqual({
    err: 'foldgate: --draft and --no-speculation exclude each other.\n',
    code: 2,
  });
});

it('run reads the prompt from stdin', async () => {
  const { modelUrl } = await storedPico('llama');
  const given = await finish('run', modelUrl, 'The end', '--raw', '--seed', '1', '--max-tokens', '8');
  const { child, stdout, exited } = start('run', modelUrl, '-', '--raw', '--seed', '1', '--max-tokens', '8');
  child.stdin.end('The end');
  expect(await readAll(stdout)).toBe(given.out);
  expect(await exited).toBe(0);
});

it('run ends quietly when its reader has enough', async () => {
  const { modelUrl } = await storedPico('llama');
  const { stdout, stderr, exited } = start(
    'run',
    modelUrl,
    'Once',
    '--raw',
    '--seed',
    '1',
    '--max-tokens',
    '120',
  );
  await once(stdout, 'data');
  stdout.destroy();
  expect(await readAll(stderr)).toBe('');
  expect(await exited).toBe(0);
});

it('run can be left while it reads its prompt', async () => {
  const { modelUrl } = await storedPico('llama');
  const { child, exited } = start('run', modelUrl, '-', '--raw');
  // More than a pipe holds: once it has left, it is being read.
  await new Promise<void>((resolve) => child.stdin.write('x'.repeat(1e6), () => resolve()));
  child.kill('SIGINT');
  await exited;
  expect(child.signalCode).toBe('SIGINT');
});

it('any command ends quietly where nobody reads what it prints', async () => {
  const { modelUrl } = await storedPico('llama');
  const { stdout, stderr, exited } = start('inspect', modelUrl);
  stdout.destroy();
  expect(await readAll(stderr)).toBe('');
  expect(await exited).toBe(0);
});

it('tells of what the machine refuses in one line', async () => {
  const { storeUrl, modelUrl } = await storedPico('llama');
  const inFile = await finish('copy', modelUrl, `file:${foldgate}/store/pico`);
  expect(inFile.code).toBe(1);
  expect(inFile.err).toMatch(/^foldgate: E(NOTDIR|EXIST): .*check the path\.$/m);
  expect(inFile.err).not.toMatch(/^\s+at /m);

  const other = createServer().listen(0, '127.0.0.1');
  await once(other, 'listening');
  onTestFinished(() => void other.close());
  const { port } = other.address() as { port: number };
  const taken = await finish('serve', '--store', storeUrl, '--model', 'pico', '--port', String(port));
  expect(taken.code).toBe(1);
  expect(taken.err).toMatch(/^foldgate: Port \d+ on 127\.0\.0\.1 is taken.*\n$/);
});

it('start looks at its port before any work', async () => {
  for (const [env, flags, message] of [
    [{ PORT: 'abc' }, [], 'PORT is "abc"'],
    [{ PORT: '65536' }, [], '65535'],
    [{ PORT: '80' }, ['--port', '70000'], '65535'],
  ] as const) {
    const { result } = startFoldgate(['start', ...flags, '--store', '/dev/null/none'], env);
    const { code, stderr } = await result;
    expect(code).toBe(2);
    expect(stderr).toContain(message);
  }
});

it('serve lets a running request end when it is told to stop', async () => {
  const { storeUrl } = await storedPico('llama');
  const { url, child, exited, log } = await serving(storeUrl);
  const body = {
    prompt: 'Once',
    max_tokens: 100,
    stream: true,
    seed: 1,
    stream_options: { include_usage: true },
  };
  const response = await post(url, body);
  child.kill('SIGTERM');
  const text = await response.text();
  expect(text).toMatch(/"finish_reason":"(length|stop)"/);
  expect(text.endsWith('data: [DONE]\n\n')).toBe(true);
  expect(await exited, log()).toBe(0);
});

it('says what is wrong and exits 1 or 2', async () => {
  const { storeUrl, modelUrl } = await storedPico('llama');
  const missing = await finish('serve', '--store', storeUrl, '--model', 'nope', '--port', '0');
  expect(missing.code).toBe(1);
  expect(missing.err).toContain(`There is no model nope`);
  expect(missing.err).not.toMatch(/^\s+at /m);
  const twice = await finish('run', modelUrl, 'x', '--chat', '--raw');
  expect(twice.code).toBe(2);
  const port = await finish('serve', '--store', storeUrl, '--model', 'pico', '--port', '70000');
  expect(port.code).toBe(2);
  expect(port.err).toContain('65535');
});
