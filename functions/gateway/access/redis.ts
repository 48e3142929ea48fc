import { FoldgateError } from '../../../artifact/errors.ts';

/** Milliseconds between tries to reach a server that is away. */
const reconnectMs = 1_000;

export interface RedisConnection extends AsyncDisposable {
  /** A client of the package `@redis/client`. */
  readonly client: object;
}

/**
 * Connects to Redis or Valkey, and goes on trying where it is away: rate limits then count in this process.
 * @param onProblem told when the connection is lost, once until it is there again
 * @throws FoldgateError where the client is not installed, or the URL is none.
 */
export async function connectRedis(url: string, onProblem: (error: Error) => void): Promise<RedisConnection> {
  const { createClient } = await import('@redis/client').catch((cause) => {
    throw new FoldgateError('--redis needs the package @redis/client: npm install @redis/client', { cause });
  });
  let isLost = false;
  const client = createClient({
    url,
    socket: { reconnectStrategy: reconnectMs },
    // Requests are not to wait for a server that is away.
    disableOfflineQueue: true,
  });
  client.on('error', (error: Error) => {
    if (!isLost) onProblem(error);
    isLost = true;
  });
  client.on('ready', () => {
    isLost = false;
  });
  const connected = client.connect();
  // The first try's end: a server that is there is used from the first request on.
  await Promise.race([connected, new Promise((resolve) => client.once('error', resolve))]);
  connected.catch(() => {}); // closed before it was reached
  return {
    client,
    async [Symbol.asyncDispose]() {
      client.destroy();
    },
  };
}
