import { once } from 'node:events';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createAdaptorServer } from '@hono/node-server';
import { FoldgateError } from '../../artifact/errors.ts';
import { type AppOptions, createApp } from './app.ts';
import { ModelUnavailableError } from './errors.ts';
import type { ModelRegistry } from './model-registry.ts';

/** Milliseconds for running requests to end after the server was told to stop. */
const defaultDrainMs = 30_000;

/** Milliseconds for the last bytes of ended requests to leave; a client that reads no further gets no more. */
const flushDeadlineMs = 1_000;
/** Milliseconds between looks for connections that became idle while the server closes. */
const sweepMs = 10;

export interface ServeOptions extends AppOptions {
  /** 0 picks a free one. */
  port: number;
  host: string;
  /** Milliseconds for running requests to end when the server closes. @default 30 s */
  drainMs?: number | undefined;
}

export interface RunningServer {
  readonly url: string;
  readonly port: number;
  /** Requests being answered. */
  readonly running: number;
  /**
   * Takes no new requests, lets running ones end until the deadline, stops those that are left, and closes
   * the models.
   */
  close(deadlineMs?: number): Promise<void>;
}

/** Listens. Loading models is the registry's business. @throws FoldgateError where it may not */
export async function serve(models: ModelRegistry, options: ServeOptions): Promise<RunningServer> {
  const { app, inFlight } = createApp(models, options);
  const server = createAdaptorServer({ fetch: app.fetch }) as Server;
  server.listen(options.port, options.host);
  await once(server, 'listening').catch((error) => {
    throw listenError(error, options);
  });
  const { port } = server.address() as AddressInfo;

  async function close(deadlineMs = options.drainMs ?? defaultDrainMs): Promise<void> {
    const stopping = new ModelUnavailableError('The server is shutting down.');
    inFlight.close(stopping);
    const closed = once(server, 'close');
    server.close(); // closes idle connections too
    await within(deadlineMs, inFlight.whenIdle());
    inFlight.abortAll(stopping);
    // A connection counts as idle only when the last bytes of its answer have left.
    const sweep = setInterval(() => server.closeIdleConnections(), sweepMs);
    await within(flushDeadlineMs, closed);
    clearInterval(sweep);
    server.closeAllConnections();
    await closed;
    await models[Symbol.asyncDispose]();
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

function listenError(cause: NodeJS.ErrnoException, { port, host }: ServeOptions): unknown {
  const problems: Record<string, string> = {
    EADDRINUSE: `Port ${port} on ${host} is taken: stop what listens there, or choose another --port; 0 picks a free one.`,
    EACCES: `Port ${port} is for privileged processes alone: choose a --port from 1024 on.`,
    EADDRNOTAVAIL: `${host} is no address of this machine: choose another --host, such as 127.0.0.1 or 0.0.0.0.`,
    ENOTFOUND: `The host ${host} is unknown: choose another --host, such as 127.0.0.1 or 0.0.0.0.`,
  };
  const problem = problems[cause.code ?? ''];
  return problem === undefined ? cause : new FoldgateError(problem, { cause });
}

/** Waits for `promise`, but no longer than `ms`. */
async function within(ms: number, promise: Promise<unknown>): Promise<void> {
  const timeout = Promise.withResolvers<void>();
  const timer = setTimeout(timeout.resolve, ms);
  await Promise.race([promise, timeout.promise]);
  clearTimeout(timer);
}
