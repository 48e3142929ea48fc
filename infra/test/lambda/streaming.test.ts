import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { completion, get } from '../fixtures/events.ts';
import { FunctionProcess } from '../fixtures/lambda-process.ts';
import { RuntimeApi } from '../fixtures/runtime-api.ts';

interface Message {
  started?: number;
  ended?: number;
  early?: boolean;
  invocation?: { status: number; firstByteMs?: number; cut: boolean };
}

/** AWS's runtime client around the real handler; the engine is moved by hand. */
describe('a streaming function', () => {
  let folder: string;
  let api: RuntimeApi;
  let lambda: FunctionProcess;
  /** The number of the latest generation. */
  let call = 0;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'foldgate-function-'));
    const entry = pathToFileURL(join(import.meta.dirname, '../fixtures/scripted-function.ts'));
    await writeFile(join(folder, 'index.mjs'), `export { handler } from ${JSON.stringify(entry.href)};\n`);
    api = await RuntimeApi.start();
    lambda = new FunctionProcess({ api: api.address, code: folder });
  });

  afterAll(async () => {
    await lambda[Symbol.asyncDispose]();
    await api[Symbol.asyncDispose]();
    await rm(folder, { recursive: true, force: true });
  });

  // The one process serves all tests: whatever a test does to a request, the next one finds it well.
  afterEach(() => expect(lambda.isAlive, lambda.output).toBe(true));

  /** Resolves with the first message that has the field. */
  function message<Name extends keyof Message>(name: Name): Promise<Message> {
    return new Promise((resolve) => {
      const look = (received: Message) => {
        if (received[name] === undefined) return;
        lambda.child.off('message', look);
        resolve(received);
      };
      lambda.child.on('message', look);
    });
  }

  const order = (what: object) => lambda.child.send({ call, ...what });

  async function begin(body: object, timeoutMs?: number) {
    const started = message('started');
    const invocation = api.invoke(completion({ model: 'tales', prompt: 'Once', ...body }), timeoutMs);
    call = (await started).started!;
    return invocation;
  }

  it('answers what needs no model', async () => {
    const invocation = api.invoke(get('/v1/models'));
    expect(await invocation.head).toMatchObject({
      statusCode: 200,
      headers: { 'content-type': 'application/json' },
    });
    expect(JSON.parse(await invocation.text())).toMatchObject({ data: [{ id: 'tales' }] });
  });

  it('sends each part as it is made', async () => {
    const invocation = await begin({ stream: true, max_tokens: 50 });
    order({ emit: ' upon' });
    const body = await invocation.saw('upon');
    expect(body).not.toContain('time');
    expect(await invocation.head).toMatchObject({
      statusCode: 200,
      headers: { 'content-type': 'text/event-stream; charset=utf-8' },
    });
    order({ emit: ' a time' });
    await invocation.saw('time');
    order({ finish: 'stop' });
    expect(await invocation.text()).toMatch(/data: \[DONE\]\n\n$/);
    expect(await invocation.ended).toEqual({ errorType: undefined });
  });

  it('gives an error before the first part its status', async () => {
    const invocation = await begin({ stream: true });
    order({ fail: 'The weights melted.' });
    expect(await invocation.head).toMatchObject({ statusCode: 500 });
    expect(JSON.parse(await invocation.text())).toMatchObject({ error: { code: 'engine_error' } });
    expect(await invocation.ended).toEqual({ errorType: undefined });
  });

  it('ends a stream cleanly where the model fails in the middle', async () => {
    const invocation = await begin({ stream: true });
    order({ emit: ' upon' });
    await invocation.saw('upon');
    order({ fail: 'The weights melted.' });
    const body = await invocation.text();
    expect(body).toMatch(/data: \{"error":\{[^\n]*"code":"engine_error"[^\n]*\}\}\n\n$/);
    expect(await invocation.ended).toEqual({ errorType: undefined });
  });

  it('ends a stream before the limit of time, and stops the model', async () => {
    const ended = message('ended');
    const invocation = await begin({ stream: true }, 2_500);
    order({ emit: ' upon' });
    await invocation.saw('upon');
    expect(await invocation.text()).toMatch(/"code":"deadline_exceeded"[^\n]*\n\n$/);
    expect(await ended).toMatchObject({ early: true });
  });

  it('answers 504 where the limit of time passes before anything was sent', async () => {
    const invocation = await begin({ stream: false }, 2_500);
    expect(await invocation.head).toMatchObject({ statusCode: 504 });
    expect(JSON.parse(await invocation.text())).toMatchObject({ error: { code: 'deadline_exceeded' } });
  });

  it('stops the model when the way to the client breaks, and lives on', async () => {
    const ended = message('ended');
    const invocation = await begin({ stream: true });
    order({ emit: ' upon' });
    await invocation.saw('upon');
    const told = message('invocation');
    invocation.cut();
    expect(await ended).toMatchObject({ early: true });
    expect(await told).toMatchObject({ invocation: { cut: true } });
    const next = api.invoke(get('/readyz'));
    expect(await next.head).toMatchObject({ statusCode: 200 });
  });

  it('takes what API Gateway sends as well', async () => {
    const invocation = api.invoke({
      httpMethod: 'POST',
      path: '/v1/completions',
      multiValueHeaders: { 'Content-Type': ['application/json'] },
      multiValueQueryStringParameters: null,
      body: Buffer.from(JSON.stringify({ model: 'other', prompt: 'Once' })).toString('base64'),
      isBase64Encoded: true,
      requestContext: { domainName: 'abc.execute-api.eu-central-1.amazonaws.com' },
    });
    expect(await invocation.head).toMatchObject({ statusCode: 404 });
    expect(JSON.parse(await invocation.text())).toMatchObject({ error: { code: 'model_not_found' } });
  });

  it('survives an event that is no request', async () => {
    const invocation = api.invoke({ warm: true });
    expect(await invocation.head).toMatchObject({ statusCode: 500 });
    expect(await invocation.ended).toEqual({ errorType: undefined });
  });
});
