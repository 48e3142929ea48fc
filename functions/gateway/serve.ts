import { once } from 'node:events';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createAdaptorServer } from '@hono/node-server';
import { type AppOptions, createApp } from './app.ts';
import { ModelUnavailableError } from './errors.ts';
import type { ModelService } from './model.ts';

/** Milliseconds for running requests to end after the server was told to stop. */
const drainDeadlineMs = 30_000;

/** Milliseconds for the last bytes of ended requests to leave; a client that reads no further gets no more. */
const flushDeadlineMs = 1_000;
/** Milliseconds between looks for connections that became idle while the server closes. */
const sweepMs = 10;

export interface ServeOptions extends AppOptions {
  /** 0 picks a free one. */
  port: number;
  host: string;
}

export interface RunningServer {
  readonly url: string;
  readonly port: number;
  /** Requests being answered. */
  readonly running: number;
  /**
   * Takes no new requests, lets running ones end until the deadline, stops those that are left, and closes
   * the model.
   */
  close(deadlineMs?: number): Promise<void>;
}

/** Listens. Loading the model is the service's business. @throws the system's error where the port is taken */
export async function serve(service: ModelService, options: ServeOptions): Promise<RunningServer> {
  const { app, inFlight } = createApp(service, options);
  const server = createAdaptorServer({ fetch: app.fetch }) as Server;
  server.listen(options.port, options.host);
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;

  async function close(deadlineMs = drainDeadlineMs): Promise<void> {
    const closed = once(server, 'close');
    server.close(); // closes idle connections too
    await within(deadlineMs, inFlight.whenIdle());
    inFlight.abortAll(new ModelUnavailableError('The server is shutting down.'));
    // A connection counts as idle only when the last bytes of its answer have left.
    const sweep = setInterval(() => server.closeIdleConnections(), sweepMs);
    await within(flushDeadlineMs, closed);
    clearInterval(sweep);
    server.closeAllConnections();
    await closed;
    await service[Symbol.asyncDispose]();
  }

  const host = options.host.includes(':') ? `[${options.host}]` : options.host;
  return {
    url: `http://${host}:${port}`,
    port,
    get running() {
      return inFlight.size;
    },
    close,
  };
}

/** Waits for `promise`, but no longer than `ms`. */
async function within(ms: number, promise: Promise<unknown>): Promise<void> {
  const timeout = Promise.withResolvers<void>();
  const timer = setTimeout(timeout.resolve, ms);
  await Promise.race([promise, timeout.promise]);
  clearTimeout(timer);
}
