import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, it, onTestFinished } from 'vitest';
import { startGateway } from '../fixtures/gateway.ts';

/** Each takes two of the process's open files, as both ends are in it. */
const readers = 1000;
/** Tokens of each answer: as events of their own they come to 1 MB. */
const made = 5_000;
/** Bytes that the server may hold for one reader: its text, a buffer of events, a connection of both ends. */
const bytesEach = 400_000;

/** What the process holds on to, without its garbage. */
function heldBytes(): number {
  setFlagsFromString('--expose-gc');
  runInNewContext('gc')();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

/** Asks for a stream and reads none of it. */
async function silentReader(port: number): Promise<Socket> {
  const socket = connect({ port, host: '127.0.0.1' });
  await once(socket, 'connect');
  socket.pause();
  const json = JSON.stringify({ model: 'tales', prompt: 'x', max_tokens: 60_000, stream: true });
  socket.write(
    `POST /v1/completions HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: ${json.length}\r\n\r\n${json}`,
  );
  return socket;
}

it('a thousand readers who read nothing cost their texts, hold nobody up, and are stopped when they leave', async () => {
  const { server, engine, client, tokens } = await startGateway(() => () => undefined, {
    contextLength: 100_000,
    maxCompletions: readers + 1,
  });
  const before = heldBytes();
  const sockets = await Promise.all(Array.from({ length: readers }, () => silentReader(server.port)));
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
  });
  const calls = await Promise.all(sockets.map(() => engine.nextCall()));
  const word = tokens(' word')[0]!;
  for (let token = 0; token < made; token += 100) {
    for (const call of calls) call.emit(...Array(100).fill(word));
    await new Promise(setImmediate);
  }
  const answered = client.completions.create({ model: 'tales', prompt: 'y' });
  (await engine.nextCall()).finish('stop');
  await answered;
  expect(heldBytes() - before).toBeLessThan(readers * bytesEach);
  for (const socket of sockets) socket.destroy();
  const ends = await Promise.all(calls.map(({ ended }) => ended));
  expect(ends.every(({ early }) => early)).toBe(true);
}, 120_000);
