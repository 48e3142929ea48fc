import { expect, it } from 'vitest';
import { prometheusMetrics } from '../../functions/gateway/observe/prometheus.ts';
import { collectGarbage } from '../../functions/small-heap.ts';
import { seeded } from '../fixtures/random-checkpoint.ts';
import { storedPico } from '../fixtures/served-pico.ts';
import { serving } from '../fixtures/serving.ts';
import { temporaryFolder } from '../fixtures/temporary-folder.ts';
import { remoteStore, served } from './remote-pico.ts';

const parts = 6;
const atOnce = 8;

/** Requests of every kind, wrong ones too. @returns sends so many more */
function requestsTo(url: string): (count: number) => Promise<void> {
  const random = seeded(11);
  let sent = 0;
  const ask = async (number: number) => {
    const response = await fetch(`${url}/v1/completions`, {
      method: 'POST',
      body: JSON.stringify({
        model: number % 97 === 0 ? 'none' : 'pico',
        prompt: `${random().toString(36)} ${'word '.repeat(random() * 20)}`,
        max_tokens: 1 + Math.floor(random() * 12),
        stream: number % 2 === 0,
        ...(number % 3 === 0 && { n: 2, stop: ['z'] }),
        ...(number % 5 === 0 && { logprobs: 2 }),
        ...(number % 89 === 0 && { temperature: 9 }),
      }),
    });
    await response.text();
  };
  return async (count) => {
    const last = sent + count;
    const worker = async () => {
      while (sent < last) await ask(sent++);
    };
    await Promise.all(Array.from({ length: atOnce }, worker));
  };
}

/** Growth of a measure for each request, by least squares over some parts of equal size. */
async function growth(
  send: (count: number) => Promise<void>,
  count: number,
  measure: () => number | Promise<number>,
) {
  const samples = [await measure()];
  for (let part = 0; part < parts; part++) {
    await send(count / parts);
    samples.push(await measure());
  }
  const mean = (values: number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const [center, height] = [(samples.length - 1) / 2, mean(samples)];
  const above = mean(samples.map((value, place) => (value - height) * (place - center)));
  return above / mean(samples.map((_, place) => (place - center) ** 2)) / (count / parts);
}

it('no request leaves an object behind', async () => {
  const server = await served(
    await remoteStore(),
    await temporaryFolder(),
    {},
    { metrics: prometheusMetrics() },
  );
  const send = requestsTo(server.url);
  await send(1_200); // caches and pools fill, functions are compiled
  const live = () => {
    collectGarbage();
    const { heapUsed, arrayBuffers } = process.memoryUsage();
    return heapUsed + arrayBuffers;
  };
  // The client lives in this process too. A request that is left behind takes some thousand bytes.
  expect(await growth(send, 1_800, live)).toBeLessThan(400);
});

it("the process's memory settles", async () => {
  const { storeUrl } = await storedPico('llama');
  const { url, stop } = await serving(storeUrl, ['--prefix-cache', '1MB']);
  const send = requestsTo(url);
  // Until the heap has the size that its garbage needs: measured, it takes some 3,000.
  await send(3_000);
  const resident = async () => {
    const text = await (await fetch(`${url}/metrics`)).text();
    return Number(/^process_resident_memory_bytes (\S+)$/m.exec(text)![1]);
  };
  // V8 takes and gives megabytes as it likes; what leaks with each token of native memory shows all the same.
  expect(await growth(send, 2_400, resident)).toBeLessThan(8_000);
  expect(await stop()).toBe(0);
});
