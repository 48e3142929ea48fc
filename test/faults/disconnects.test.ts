import { once } from 'node:events';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { seeded } from '../fixtures/random-checkpoint.ts';
import { storedPico } from '../fixtures/served-pico.ts';
import { serving } from '../fixtures/serving.ts';

const clients = 300;
/** Milliseconds in which a client may leave: from before its request is sent until after its answer. */
const leavesWithinMs = 60;

it('clients that leave at any moment leave nothing behind', async () => {
  const { storeUrl } = await storedPico('llama');
  const { url, log, stop } = await serving(storeUrl);
  const { port } = new URL(url);
  const random = seeded(7);
  const leave = async (client: number) => {
    const body = JSON.stringify({
      model: 'pico',
      prompt: 'Once upon a time '.repeat(1 + (client % 8)),
      max_tokens: 200,
      n: 1 + (client % 3),
      stream: client % 2 === 0,
      ignore_eos: true,
    });
    const socket = connect({ port: Number(port), host: '127.0.0.1' });
    socket.on('error', () => {}); // reset by either side
    socket.resume();
    await once(socket, 'connect');
    // Every fifth leaves in the middle of its own request, its length announced or not.
    const half = client % 5 === 0;
    const length = client % 10 === 0 ? 'transfer-encoding: chunked' : `content-length: ${body.length}`;
    const sent = half ? body.slice(0, body.length / 2) : body;
    const head = `POST /v1/completions HTTP/1.1\r\nhost: x\r\n${length}\r\n\r\n`;
    socket.write(head + (client % 10 === 0 ? `${sent.length.toString(16)}\r\n${sent}\r\n` : sent));
    await sleep(random() * leavesWithinMs);
    if (client % 2) socket.resetAndDestroy();
    else socket.end();
    socket.destroy();
  };
  const inTurns = [...Array(clients).keys()].values();
  const worker = async () => {
    for (const client of inTurns) await leave(client);
  };
  await Promise.all(Array.from({ length: 20 }, worker));
  const value = async (name: string) => {
    const text = await (await fetch(`${url}/metrics`)).text();
    return Number(new RegExp(`^${name}{model_name="pico"} (\\S+)$`, 'm').exec(text)?.[1]);
  };
  await expect.poll(() => value('vllm:num_requests_running'), { timeout: 20_000 }).toBe(0);
  expect(await value('vllm:num_requests_waiting')).toBe(0);
  const answer = await fetch(`${url}/v1/completions`, {
    method: 'POST',
    body: JSON.stringify({ model: 'pico', prompt: 'Once', max_tokens: 4 }),
  });
  expect(answer.status).toBe(200);
  expect(await stop()).toBe(0);
  // A client that leaves is no fault of the server.
  const lines = log()
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { level: string });
  expect(lines.filter(({ level }) => level !== 'info')).toEqual([]);
});
