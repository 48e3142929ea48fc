import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { CreateBucketCommand, S3Client } from '@aws-sdk/client-s3';
import { freePort, run } from '../peers/process.ts';
import { Line } from './throttle.ts';

/** What `npm run s3:install` installs. */
export const s3Program = '.cache/bin/versitygw';

const credentials = { accessKeyId: 'foldgate', secretAccessKey: 'foldgate-secret' };
const startMs = 30_000;

/** An S3 server of one's own, and a slow line to it that notes what passes. */
export interface SlowS3 {
  /** Where a store is: `s3://BUCKET`. */
  bucketUrl: string;
  /** For clients beside the server. */
  fast: NodeJS.ProcessEnv;
  /** For clients at the end of the line. */
  slow: NodeJS.ProcessEnv;
  /** What has passed the line since the last call. */
  passed(): Passage[];
  stop(): Promise<void>;
}

/** One answer that passed the line; times by `performance.now()`. */
export interface Passage {
  path: string;
  askedAt: number;
  /** The last byte left; undefined where the reader went away. */
  endedAt?: number;
  bytes: number;
}

export async function startSlowS3(bytesPerSecond: number): Promise<SlowS3> {
  const folder = await mkdtemp(join(tmpdir(), 'foldgate-cold-start-'));
  for (const name of ['buckets', 'metadata']) await mkdir(join(folder, name));
  const port = await freePort();
  const sidecar = ['--sidecar', join(folder, 'metadata')];
  const args = ['--port', `127.0.0.1:${port}`, '--quiet', 'posix', ...sidecar, join(folder, 'buckets')];
  const server = spawn(s3Program, args, {
    stdio: 'ignore',
    env: {
      ...process.env,
      ROOT_ACCESS_KEY: credentials.accessKeyId,
      ROOT_SECRET_KEY: credentials.secretAccessKey,
    },
  });
  const endpoint = `http://127.0.0.1:${port}`;
  await answering(endpoint);
  const client = new S3Client({ endpoint, region: 'us-east-1', forcePathStyle: true, credentials });
  await client.send(new CreateBucketCommand({ Bucket: 'models' }));
  client.destroy();
  const line = await startLine(port, bytesPerSecond);
  const environment = (url: string) => ({
    AWS_ENDPOINT_URL_S3: url,
    AWS_REGION: 'us-east-1',
    AWS_ACCESS_KEY_ID: credentials.accessKeyId,
    AWS_SECRET_ACCESS_KEY: credentials.secretAccessKey,
    AWS_PROFILE: '',
  });
  return {
    bucketUrl: 's3://models',
    fast: environment(endpoint),
    slow: environment(line.url),
    passed: line.passed,
    async stop() {
      line.stop();
      const exited = once(server, 'exit');
      server.kill();
      await exited;
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** Copies a folded model into the bucket, beside the line. @param url where it is; its name stays */
export async function upload({ bucketUrl, fast }: SlowS3, url: string): Promise<void> {
  const args = ['load/peers/built.mjs', 'copy', url, `${bucketUrl}/${url.split('/').at(-1)}`];
  await run(process.execPath, args, { ...process.env, ...fast });
}

async function answering(url: string): Promise<void> {
  for (const deadline = performance.now() + startMs; ; ) {
    const answer = await fetch(url).catch(() => undefined);
    await answer?.body?.cancel();
    if (answer) return;
    if (performance.now() > deadline) throw new Error(`${s3Program} does not answer at ${url}.`);
    await sleep(20);
  }
}

async function startLine(port: number, bytesPerSecond: number) {
  const line = new Line(bytesPerSecond);
  let passages: Passage[] = [];
  const pass = (incoming: IncomingMessage, answer: ServerResponse) => {
    const { method, url = '', headers } = incoming;
    const passage: Passage = { path: url.split('?')[0]!, askedAt: performance.now(), bytes: 0 };
    passages.push(passage);
    // The client's own Host header goes along: it is part of what was signed.
    const outgoing = request({ host: '127.0.0.1', port, method, path: url, headers });
    outgoing.on('error', () => answer.destroy());
    answer.on('close', () => outgoing.destroy());
    answer.on('finish', () => {
      passage.endedAt = performance.now();
    });
    incoming.pipe(outgoing);
    outgoing.on('response', (response) => {
      answer.writeHead(response.statusCode ?? 502, response.headers);
      response.on('data', (chunk: Buffer) => {
        passage.bytes += chunk.length;
      });
      response.pipe(line.stream()).pipe(answer);
    });
  };
  const proxy = createServer(pass).listen(0, '127.0.0.1');
  await once(proxy, 'listening');
  return {
    url: `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`,
    passed() {
      const before = passages;
      passages = [];
      return before;
    },
    stop() {
      proxy.closeAllConnections();
      proxy.close();
    },
  };
}
