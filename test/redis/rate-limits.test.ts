import { expect, it, onTestFinished } from 'vitest';
import { redisCounter } from '../../functions/gateway/access/rate-counter.ts';
import { RateLimits } from '../../functions/gateway/access/rate-limits.ts';
import { connectRedis } from '../../functions/gateway/access/redis.ts';
import { startGateway } from '../fixtures/gateway.ts';
import { RedisServer } from './redis-server.ts';

/** For a server that comes back: connections are tried again every second. */
const slow = { timeout: 20_000 };

/** One of several gateways that count together. */
async function gatewayAt(url: string) {
  const problems: Error[] = [];
  const redis = await connectRedis(url, (error) => problems.push(error));
  onTestFinished(() => redis[Symbol.asyncDispose]());
  const counters = { requests: redisCounter('requests', redis), tokens: redisCounter('tokens', redis) };
  const limits = new RateLimits({ ...counters, requestsPerMinute: 3, tokensPerMinute: 20 });
  const gateway = await startGateway(() => () => [5, 6], { limits });
  const ask = () => gateway.post('/v1/completions', { model: 'tales', prompt: [9, 9, 9] });
  return { ask, problems };
}

const left = (answer: Response) => answer.headers.get('x-ratelimit-remaining-requests');

it('several servers count together', async (ctx) => {
  const server = await RedisServer.start(ctx);
  const [first, second] = [await gatewayAt(server.url), await gatewayAt(server.url)];
  expect(left(await first.ask())).toBe('2');
  expect(left(await second.ask())).toBe('1');
  const third = await first.ask();
  expect(third.headers.get('x-ratelimit-remaining-tokens')).toBe('7'); // two whole requests, and this prompt
  const refused = await second.ask();
  expect(refused.status).toBe(429);
  expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(50);
});

it('each counts for itself while the server is away, and together again afterwards', async (ctx) => {
  const server = await RedisServer.start(ctx);
  const gateway = await gatewayAt(server.url);
  expect(left(await gateway.ask())).toBe('2');
  await server.stop();
  await expect.poll(() => gateway.problems.length, slow).toBe(1);
  expect(left(await gateway.ask())).toBe('2'); // its own first one
  await server.restart();
  // The server has forgotten its counts: the first request it sees is the first.
  await expect.poll(async () => left(await gateway.ask()), slow).toBe('2');
  expect(gateway.problems).toHaveLength(1);
});

it('starts without the server, and says so once', async (ctx) => {
  const server = await RedisServer.start(ctx);
  await server.stop();
  const gateway = await gatewayAt(server.url);
  expect(gateway.problems).toHaveLength(1);
  expect((await gateway.ask()).status).toBe(200);
  await server.restart();
  const other = await gatewayAt(server.url);
  expect(left(await other.ask())).toBe('2');
  // As soon as it is connected again, it sees what the other one counts.
  await expect.poll(async () => left(await gateway.ask()), slow).toBe('0');
});
