import type { Worker } from 'node:worker_threads';
import { expect, it, onTestFinished, vi } from 'vitest';
import { temporaryFolder } from '../fixtures/temporary-folder.ts';
import { remoteStore, served } from './remote-pico.ts';

/** Every thread that is started from now on. */
function startedThreads(): Worker[] {
  const threads: Worker[] = [];
  const note = (worker: Worker) => threads.push(worker);
  process.on('worker', note);
  onTestFinished(() => void process.off('worker', note));
  return threads;
}

const stream = (url: string, body: object) =>
  fetch(`${url}/v1/completions`, {
    method: 'POST',
    body: JSON.stringify({ model: 'pico', prompt: 'Once', stream: true, ignore_eos: true, ...body }),
  });

it('running requests get a clear error, the engine comes back, the process lives', async () => {
  const threads = startedThreads();
  const server = await served(await remoteStore(), await temporaryFolder());
  const text = await server.ask();
  expect(threads).toHaveLength(1);
  const long = { n: 80, max_tokens: 60 };
  const running = await stream(server.url, long);
  const waiting = [1, 2].map(() => stream(server.url, { ...long, stream: false }));
  // A request that comes when the thread has ended already would get the new one, and an answer.
  const { engine } = server.models.services[0]!.loaded!;
  await vi.waitFor(async () => {
    const { running, waiting } = await engine.stats!();
    expect(running + waiting).toBeGreaterThan(160);
  });
  await threads[0]!.terminate();
  expect(running.status).toBe(200);
  const events = await running.text(); // ends, rather than hanging
  expect(events).toMatch(
    /data: \{"error":\{"message":"The engine's thread ended[^\n]*Send the request again/,
  );
  expect(events).not.toContain('[DONE]');
  for (const answer of await Promise.all(waiting)) {
    expect(answer.status).toBe(500);
    expect(await answer.json()).toMatchObject({ error: { code: 'engine_error' } });
  }
  expect(server.failures).toEqual([expect.stringMatching(/^pico: The engine's thread ended/)]);
  // The next request waits for the new engine.
  expect(await server.ask()).toBe(text);
  expect(server.loads).toBe(2);
  expect(threads).toHaveLength(2);
});

it('a thread that ends while nobody asks is noticed by the next request', async () => {
  const threads = startedThreads();
  const server = await served(await remoteStore(), await temporaryFolder());
  const text = await server.ask();
  await threads[0]!.terminate();
  await expect(server.ask()).rejects.toThrow('500 engine_error');
  expect(await server.ask()).toBe(text);
});

it('a thread that ends over and over takes nothing else along', async () => {
  const threads = startedThreads();
  const server = await served(await remoteStore(), await temporaryFolder());
  for (let round = 0; round < 3; round++) {
    await server.ask();
    await threads.at(-1)!.terminate();
    await expect(server.ask()).rejects.toThrow('500 engine_error');
  }
  await server.ask();
  expect((await fetch(`${server.url}/healthz`)).status).toBe(200);
});
