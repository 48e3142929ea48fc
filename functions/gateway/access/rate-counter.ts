import { type RateLimiterAbstract, RateLimiterMemory, RateLimiterRedis } from 'rate-limiter-flexible';
import { type RateCounter, windowSeconds } from './rate-limits.ts';
import type { RedisConnection } from './redis.ts';

/** Only counts are asked for: each caller has a limit of its own, so the library's single one is out of reach. */
const points = Number.MAX_SAFE_INTEGER;

/** Counters in this process. */
export function memoryCounter(name: string): RateCounter {
  return counterOf(new RateLimiterMemory({ points, duration: windowSeconds, keyPrefix: name }));
}

/** Counters that several servers share. While Redis is away, each counts for itself. */
export function redisCounter(name: string, { client }: RedisConnection): RateCounter {
  const keyPrefix = `foldgate:${name}`;
  const insurance = new RateLimiterMemory({ points, duration: windowSeconds, keyPrefix });
  return counterOf(
    new RateLimiterRedis({
      storeClient: client,
      useRedisPackage: true,
      rejectIfRedisNotReady: true,
      points,
      duration: windowSeconds,
      keyPrefix,
      insuranceLimiter: insurance,
    }),
  );
}

function counterOf(limiter: RateLimiterAbstract): RateCounter {
  return {
    async add(key, count) {
      const { consumedPoints, msBeforeNext } =
        count < 0 ? await limiter.reward(key, -count) : await limiter.penalty(key, count);
      return { counted: consumedPoints, resetMs: msBeforeNext };
    },
  };
}
