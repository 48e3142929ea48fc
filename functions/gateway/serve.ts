import { once } from 'node:events';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createAdaptorServer } from '@hono/node-server';
import { type AppOptions, createApp } from './app.ts';
import { ModelUnavailableError } from './errors.ts';
import type { ModelService } from './model.ts';

/** Milliseconds for running requests to end after the server was told to stop. */
export const drainDeadlineMs = 30_000;

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
    let timer: NodeJS.Timeout | undefined;
    const deadline = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, deadlineMs);
    });
    await Promise.race([inFlight.whenIdle(), deadline]);
    inFlight.abortAll(new ModelUnavailableError('The server is shutting down.'));
    // The last bytes of an answer leave before the connection counts as idle.
    const sent = setInterval(() => server.closeIdleConnections(), 10);
    await Promise.race([closed, deadline]);
    clearInterval(sent);
    clearTimeout(timer);
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
