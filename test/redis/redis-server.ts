import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { onTestFinished, type TestContext } from 'vitest';
import { requirement } from '../fixtures/requirement.ts';

const program = join(import.meta.dirname, '../../.cache/bin/redis-server');

/** A real Redis or Valkey on a loopback port, that can be stopped and started again. */
export class RedisServer {
  #process: ChildProcess | undefined;
  readonly port: number;

  private constructor(port: number) {
    this.port = port;
  }

  static async start(ctx: TestContext): Promise<RedisServer> {
    requirement(ctx, existsSync(program) ? undefined : `${program} (npm run redis:install)`);
    // No free port can be asked for: a taken one is tried again with another.
    for (let attempt = 0; ; attempt++) {
      const server = new RedisServer(20_000 + Math.floor(Math.random() * 20_000));
      try {
        await server.restart();
        onTestFinished(() => server.stop());
        return server;
      } catch (error) {
        if (attempt === 5) throw error;
      }
    }
  }

  get url(): string {
    return `redis://127.0.0.1:${this.port}`;
  }

  async restart(): Promise<void> {
    const options = ['--port', String(this.port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no'];
    const child = spawn(program, options, { stdio: ['ignore', 'pipe', 'inherit'] });
    this.#process = child;
    for await (const line of createInterface(child.stdout)) {
      if (!/ready to accept connections/i.test(line)) continue;
      child.stdout.resume();
      return;
    }
    throw new Error(`${program} does not start on port ${this.port}.`);
  }

  async stop(): Promise<void> {
    const child = this.#process;
    this.#process = undefined;
    if (!child || child.exitCode !== null) return;
    child.kill('SIGKILL');
    await once(child, 'exit');
  }
}
