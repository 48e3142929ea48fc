import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';

const execute = promisify(execFile);

/** Runs a program to its end. @returns what it wrote to stdout */
export async function run(program: string, args: string[], env = process.env): Promise<string> {
  const { stdout } = await execute(program, args, { maxBuffer: 2 ** 26, env });
  return stdout;
}

/** How a process uses memory, in MB: all resident pages, and of them those that no file backs. */
export async function memoryOf(pid: number): Promise<{ resident: number; anonymous: number }> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  const megabytes = (field: string) =>
    Number(new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(status)?.[1]) / 1024;
  return { resident: megabytes('VmRSS'), anonymous: megabytes('RssAnon') };
}

export interface ServerCommand {
  program: string;
  args: string[];
  url: string;
  /** Answers 200 once the server is ready. */
  path: string;
}

/** A server's process. */
export interface StartedServer {
  pid: number;
  /** By `performance.now()`. */
  startedAt: number;
  readonly alive: boolean;
  stop(): Promise<void>;
}

export function startServer({ program, args }: ServerCommand, env: NodeJS.ProcessEnv = {}): StartedServer {
  const startedAt = performance.now();
  const server = spawn(program, args, { stdio: 'ignore', env: { ...process.env, ...env } });
  const exited = once(server, 'exit');
  exited.catch(() => {}); // a program that is not there; `alive` tells
  return {
    pid: server.pid!,
    startedAt,
    get alive() {
      return server.pid !== undefined && server.exitCode === null && server.signalCode === null;
    },
    async stop() {
      server.kill();
      await exited.catch(() => {});
    },
  };
}

/** Starts a server, waits until it is ready, uses it and stops it. */
export async function withServer<T>(
  command: ServerCommand,
  use: (server: StartedServer) => Promise<T>,
): Promise<T> {
  const { program, args, url, path } = command;
  const server = startServer(command);
  try {
    const ready = async () => (await fetch(url + path).catch(() => undefined))?.ok ?? false;
    for (let tries = 0; !(await ready()); tries++) {
      if (!server.alive || tries > 600) throw new Error(`${program} ${args.join(' ')} did not get ready.`);
      await sleep(100);
    }
    return await use(server);
  } finally {
    await server.stop();
  }
}

/** How to start Foldgate's server as the package runs it, and where it answers. */
export function foldgateServer(
  store: string,
  model: string,
  port: number,
  options: Record<string, string>,
): ServerCommand {
  const flags = Object.entries({ store, model, port, ...options }).flatMap(([flag, value]) => [
    `--${flag}`,
    String(value),
  ]);
  return {
    program: process.execPath,
    args: ['load/peers/built.mjs', 'serve', ...flags],
    url: `http://127.0.0.1:${port}`,
    path: '/readyz',
  };
}

/** One completion, not streamed. */
export async function complete(url: string, body: Record<string, unknown>) {
  const response = await requestCompletion(url, body);
  return (await response.json()) as { usage: { prompt_tokens: number; completion_tokens: number } };
}

/** Reads a streamed completion to its end. */
export async function stream(url: string, body: Record<string, unknown>): Promise<void> {
  const response = await requestCompletion(url, { ...body, stream: true });
  for await (const _ of response.body!);
}

async function requestCompletion(url: string, body: Record<string, unknown>): Promise<Response> {
  const response = await fetch(`${url}/v1/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  if (!response.ok) throw new Error(`${url}: ${await response.text()}`);
  return response;
}

/** A port that nothing listens on, or did not a moment ago: llama-server cannot pick one itself. */
export async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address() as AddressInfo;
  probe.close();
  await once(probe, 'close');
  return port;
}
