import { readFile, stat } from 'node:fs/promises';
import { UsageError } from '../artifact/errors.ts';
import { ApiKeys } from '../functions/gateway/access/api-keys.ts';
import { parseKeyFile, plainKeys } from '../functions/gateway/access/key-file.ts';
import type { RateLimits } from '../functions/gateway/access/rate-limits.ts';
import type { RedisConnection } from '../functions/gateway/access/redis.ts';
import type { ServerSettings } from './settings/serve-settings.ts';

/** Milliseconds between looks at the file: a key that was removed should not work for long. */
const lookMs = 5_000;

type Told = (error: Error) => void;

export interface Access {
  keys: ApiKeys | undefined;
  limits: RateLimits | undefined;
  redis: RedisConnection | undefined;
}

/**
 * Who may ask and how much, as the settings say.
 * @param onProblem told of keys that cannot be read again, and of Redis being away
 * @throws UsageError, InvalidDataError where the keys cannot be read at the start
 */
export async function access(
  settings: ServerSettings,
  stopped: AbortSignal,
  onProblem: Told,
): Promise<Access> {
  const keys = await serverKeys(settings, stopped, onProblem);
  const { requestsPerMinute, tokensPerMinute } = settings;
  // Keys of the file may have limits of their own, today or later.
  if (!settings.apiKeys && !requestsPerMinute && !tokensPerMinute)
    return { keys, limits: undefined, redis: undefined };
  const { RateLimits } = await import('../functions/gateway/access/rate-limits.ts');
  const { memoryCounter, redisCounter } = await import('../functions/gateway/access/rate-counter.ts');
  let redis: RedisConnection | undefined;
  if (settings.redis) {
    const { connectRedis } = await import('../functions/gateway/access/redis.ts');
    redis = await connectRedis(settings.redis, onProblem);
  }
  const counter = (name: string) => (redis ? redisCounter(name, redis) : memoryCounter(name));
  const counters = { requests: counter('requests'), tokens: counter('tokens') };
  return { keys, limits: new RateLimits({ ...counters, requestsPerMinute, tokensPerMinute }), redis };
}

/**
 * The keys that a server takes, those of the file as it is at the moment. A file that cannot be read any more leaves
 * the keys that were read before.
 * @param onProblem told of that
 * @returns undefined where no key is asked for
 * @throws UsageError, InvalidDataError where the file cannot be read at the start
 */
async function serverKeys(
  { apiKeys: path, apiKey = [] }: ServerSettings,
  stopped: AbortSignal,
  onProblem: Told,
): Promise<ApiKeys | undefined> {
  if (path === undefined && apiKey.length === 0) return undefined;
  const given = plainKeys(apiKey);
  if (path === undefined) return new ApiKeys(given);
  const read = async () => [...given, ...parseKeyFile(await readFile(path, 'utf8'), path)];
  const entries = await read().catch((error: NodeJS.ErrnoException) => {
    if (error.code === undefined) throw error;
    throw new UsageError(`The keys in ${path} cannot be read: ${error.message}`);
  });
  if (entries.length === 0)
    throw new UsageError(`${path} has no key. Make one: foldgate keys add NAME --file ${path}`);
  const keys = new ApiKeys(entries);
  let seen = await versionOf(path);
  const timer = setInterval(async () => {
    try {
      const version = await versionOf(path);
      if (version === seen) return;
      seen = version;
      keys.replace(await read());
    } catch (error) {
      onProblem(error as Error);
    }
  }, lookMs);
  timer.unref();
  stopped.addEventListener('abort', () => clearInterval(timer), { once: true });
  return keys;
}

/** Changes whenever the file does; the inode too, since files are replaced rather than written in place. */
async function versionOf(path: string): Promise<string> {
  const { mtimeNs, size, ino } = await stat(path, { bigint: true });
  return `${mtimeNs} ${size} ${ino}`;
}
