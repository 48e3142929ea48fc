import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { describe, expect, it, onTestFinished } from 'vitest';
import { createApp } from '../../functions/gateway/app.ts';
import { eventStream } from '../../functions/gateway/event-stream.ts';
import { startGateway } from '../fixtures/gateway.ts';
import { textModel } from '../fixtures/text-model.ts';

const quiet = { end: 'end', failure: String, onCancel: () => {}, onError: () => {} };

describe('an event stream', () => {
  it('is full when its reader is behind, and says when it has caught up', async () => {
    const events: string[] = [];
    const produced = Promise.withResolvers<void>();
    const stream = await eventStream(async (sink) => {
      sink.send('x');
      sink.onDrain = () => events.push('drained');
      await new Promise(setImmediate);
      expect(sink.isFull).toBe(false);
      sink.send('y'.repeat(100_000));
      await new Promise(setImmediate);
      expect(sink.isFull).toBe(true);
      produced.resolve();
      await expect.poll(() => sink.isFull).toBe(false);
    }, quiet);
    await produced.promise;
    const before = events.length;
    let text = '';
    for await (const chunk of stream) text += Buffer.from(chunk);
    expect(events.length).toBeGreaterThan(before);
    expect(text).toBe(`x${'y'.repeat(100_000)}end`);
  });
});

/** Sends a request for a stream and reads nothing of it until told to. */
async function slowReader(port: number, body: object): Promise<Socket> {
  const socket = connect({ port, host: '127.0.0.1' });
  onTestFinished(() => void socket.destroy());
  await once(socket, 'connect');
  socket.pause();
  const json = JSON.stringify({ model: 'tales', stream: true, ...body });
  socket.write(
    `POST /v1/completions HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: ${json.length}\r\n\r\n${json}`,
  );
  return socket;
}

async function readAll(socket: Socket): Promise<string> {
  let text = '';
  socket.on('data', (chunk) => {
    text += chunk;
  });
  socket.resume();
  await once(socket, 'end');
  return text;
}

describe('a slow reader', () => {
  it('gets the whole text, in fewer events, and holds nobody up', async () => {
    const { server, engine, client, tokens } = await startGateway(() => () => undefined, {
      contextLength: 100_000,
    });
    const socket = await slowReader(server.port, { prompt: 'x', max_tokens: 60_000 });
    const call = await engine.nextCall();
    const word = tokens(' word')[0]!;
    const made = 50_000;
    // So many that no socket's buffer holds the events; let the gateway take them as they come.
    for (let token = 0; token < made; token++) {
      call.emit(word);
      if (token % 500 === 0) await new Promise(setImmediate);
    }
    call.finish('stop');
    expect(await call.ended).toEqual({ early: false }); // the engine is free: its slot does not wait for the reader
    const other = client.completions.create({ model: 'tales', prompt: 'y' });
    (await engine.nextCall()).finish('stop');
    await other;
    const answer = await readAll(socket);
    const events = [...answer.matchAll(/data: (\{.*\})\n\n/g)].map(([, json]) => JSON.parse(json!));
    expect(events.map((event) => event.choices[0].text).join('')).toBe(' word'.repeat(made));
    expect(events.length).toBeLessThan(made / 2);
    expect(events.at(-1).choices[0].finish_reason).toBe('stop');
    expect(answer).toMatch(/data: \[DONE\]/);
  });

  it('costs its text and a buffer, not its events', async () => {
    const { models, engine, tokens } = await textModel(() => undefined, { contextLength: 100_000 });
    const { app } = createApp(models);
    const body = { model: 'tales', prompt: 'x', max_tokens: 90_000, stream: true };
    const asking = app.request('/v1/completions', { method: 'POST', body: JSON.stringify(body) });
    const call = await engine.nextCall();
    const word = tokens(' word')[0]!;
    const made = 80_000;
    for (let token = 0; token < made; token++) {
      call.emit(word);
      if (token % 500 === 0) await new Promise(setImmediate);
    }
    call.finish('stop');
    const answer = await asking;
    await call.ended; // and nobody has read a byte
    const { length } = await answer.text();
    expect(length).toBeLessThan(made * ' word'.length + 200_000); // as events of their own: 16 MB
  });
});
