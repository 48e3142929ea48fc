import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { CreateBucketCommand, S3Client } from '@aws-sdk/client-s3';

const cache = join(import.meta.dirname, '../../.cache');
const startMs = 30_000;

export const serverKinds = ['versitygw', 'moto'] as const;
export type ServerKind = (typeof serverKinds)[number];

const programs: Record<ServerKind, string> = {
  versitygw: join(cache, 'bin/versitygw'),
  moto: join(cache, 'moto/bin/moto_server'),
};

const credentials = { accessKeyId: 'foldgate', secretAccessKey: 'foldgate-secret' };

/** Says loudly what is skipped for want of a server. With CI set, missing servers are failures instead. */
export function isInstalled(kind: ServerKind): boolean {
  if (existsSync(programs[kind])) return true;
  const message = `${programs[kind]} is missing. Run: npm run s3:install`;
  if (process.env.CI === 'true') throw new Error(message);
  console.warn(`SKIPPED: the tests against ${kind}. ${message}`);
  return false;
}

/** A real S3 server on a loopback port of its own, that can be killed and started again on the same data. */
export class S3Server implements AsyncDisposable {
  readonly kind: ServerKind;
  readonly endpoint: string;
  /** versitygw keeps objects as files: `folder/BUCKET/KEY`. */
  readonly folder: string;
  readonly #port: number;
  #process: ChildProcess | undefined;
  #buckets = 0;

  private constructor(kind: ServerKind, port: number, folder: string) {
    this.kind = kind;
    this.#port = port;
    this.endpoint = `http://127.0.0.1:${port}`;
    this.folder = folder;
  }

  static async start(kind: ServerKind): Promise<S3Server> {
    const folder = await mkdtemp(join(tmpdir(), 'foldgate-s3-'));
    await mkdir(join(folder, 'buckets'));
    await mkdir(join(folder, 'metadata'));
    const server = new S3Server(kind, await freePort(), folder);
    await server.restart();
    return server;
  }

  get dataFolder(): string {
    return join(this.folder, 'buckets');
  }

  async restart(): Promise<void> {
    const child = spawn(programs[this.kind], this.#arguments(), {
      stdio: ['ignore', 'ignore', 'pipe'],
      env: {
        ...process.env,
        ROOT_ACCESS_KEY: credentials.accessKeyId,
        ROOT_SECRET_KEY: credentials.secretAccessKey,
      },
    });
    this.#process = child;
    let log = '';
    child.stderr?.on('data', (chunk) => {
      log = (log + chunk).slice(-4000);
    });
    for (const deadline = Date.now() + startMs; ; ) {
      if (child.exitCode !== null) throw new Error(`${this.kind} ended with ${child.exitCode}:\n${log}`);
      const answers = await fetch(this.endpoint).then(
        (response) => response.arrayBuffer().then(() => true),
        () => false,
      );
      if (answers) return;
      if (Date.now() > deadline) throw new Error(`${this.kind} does not answer:\n${log}`);
      await sleep(20);
    }
  }

  /** SIGKILL: nothing is flushed, no connection is closed properly. */
  async kill(): Promise<void> {
    const child = this.#process;
    this.#process = undefined;
    if (child === undefined || child.exitCode !== null) return;
    const exited = once(child, 'exit');
    child.kill('SIGKILL');
    await exited;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    await rm(this.folder, { recursive: true, force: true });
  }

  /** A client of its own, so that what the store does is looked at from outside. */
  client(): S3Client {
    return new S3Client({
      endpoint: this.endpoint,
      region: 'us-east-1',
      forcePathStyle: true,
      credentials,
    });
  }

  /** Makes a new bucket. @returns its name. */
  async makeBucket(): Promise<string> {
    const name = `bucket-${++this.#buckets}`;
    await this.client().send(new CreateBucketCommand({ Bucket: name }));
    return name;
  }

  #arguments(): string[] {
    if (this.kind === 'moto') return ['-H', '127.0.0.1', '-p', String(this.#port)];
    // With a sidecar the server needs no extended attributes, which not every temporary folder has.
    const sidecar = ['--sidecar', join(this.folder, 'metadata')];
    return ['--port', `127.0.0.1:${this.#port}`, '--quiet', 'posix', ...sidecar, this.dataFolder];
  }
}

/** Points the store at `endpoint`, the way a user does: through the environment. */
export function useEndpoint(endpoint: string): void {
  Object.assign(process.env, clientEnvironment(endpoint));
  delete process.env.AWS_PROFILE;
}

export function clientEnvironment(endpoint: string): Record<string, string> {
  return {
    AWS_ENDPOINT_URL_S3: endpoint,
    AWS_REGION: 'us-east-1',
    AWS_ACCESS_KEY_ID: credentials.accessKeyId,
    AWS_SECRET_ACCESS_KEY: credentials.secretAccessKey,
  };
}

/** A port nobody listens on right now. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('No port was given.');
  server.close();
  await once(server, 'close');
  return address.port;
}
