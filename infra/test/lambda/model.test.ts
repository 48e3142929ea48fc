import { existsSync } from 'node:fs';
import { mkdtemp, readdir, readFile, realpath, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PutObjectCommand } from '@aws-sdk/client-s3';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { copyModel } from '../../../artifact/models/copy.ts';
import { openStore } from '../../../artifact/store/open.ts';
import { hashKey } from '../../../functions/gateway/access/api-keys.ts';
import { formatKeyFile } from '../../../functions/gateway/access/key-file.ts';
import { storedPico } from '../../../test/fixtures/served-pico.ts';
import { FaultProxy } from '../../../test/s3/fault-proxy.ts';
import { clientEnvironment, isInstalled, S3Server, useEndpoint } from '../../../test/s3/servers.ts';
import { bundleFunction, sizeOf, unpackedLimit } from '../../lambda/bundle.ts';
import { completion, get, withKey } from '../fixtures/events.ts';
import { type FunctionOptions, FunctionProcess } from '../fixtures/lambda-process.ts';
import { RuntimeApi } from '../fixtures/runtime-api.ts';

const address = async (url: string, name: string) => ({ store: await openStore(url), name });

/** What a bundler does not see: files of threads, and packages that are looked for by name. */
async function namedAtRunTime(): Promise<{ threads: string[]; packages: string[] }> {
  const threads: string[] = [];
  const packages: string[] = [];
  for (const folder of ['functions', 'artifact']) {
    for (const path of await readdir(join(root, folder), { recursive: true })) {
      if (!path.endsWith('.ts')) continue;
      const text = await readFile(join(root, folder, path), 'utf8');
      if (text.includes('new Worker('))
        threads.push(...[...text.matchAll(/'\.\/([\w-]+\.js)'/g)].map((match) => match[1]!));
      packages.push(...[...text.matchAll(/\bresolve\('([@\w][^']*)'\)/g)].map((match) => match[1]!));
    }
  }
  return { threads, packages };
}

const root = join(import.meta.dirname, '../../..');

const hasS3 = isInstalled('versitygw');

describe.skipIf(!hasS3)('the bundled function', () => {
  let folder: string;
  let code: string;
  let s3: S3Server;
  let proxy: FaultProxy;
  let store: string;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'foldgate-function-'));
    code = await bundleFunction(join(folder, 'code'), process.arch === 'arm64' ? 'arm64' : 'x64');
    s3 = await S3Server.start('versitygw');
    proxy = await FaultProxy.start(s3.endpoint);
    store = `s3://${await s3.makeBucket()}/models`;
    useEndpoint(s3.endpoint);
  });

  afterAll(async () => {
    await proxy?.[Symbol.asyncDispose]();
    await s3?.[Symbol.asyncDispose]();
    await rm(folder, { recursive: true, force: true });
  });

  beforeEach(async () => {
    const { storeUrl } = await storedPico('llama');
    await copyModel(await address(storeUrl, 'pico'), await address(store, 'pico'));
    proxy.requests.length = 0;
    await rm(join(folder, 'cache'), { recursive: true, force: true });
  });

  const options = (api: RuntimeApi, more: Partial<FunctionOptions> = {}): FunctionOptions => ({
    api: api.address,
    code,
    ...more,
    env: {
      ...clientEnvironment(proxy.endpoint),
      FOLDGATE_STORE: store,
      FOLDGATE_MODEL: 'pico',
      FOLDGATE_ACCESS: 'iam',
      FOLDGATE_CACHE: join(folder, 'cache'),
      ...more.env,
    },
  });

  const ask = (seed: number) =>
    completion({ model: 'pico', prompt: [1, 2, 3], max_tokens: 4, seed, stream: true });

  /** How often an object was asked for, by the end of its key. */
  const reads = (ending: string) =>
    proxy.requests.filter(({ url }) => url.split('?')[0]!.endsWith(ending)).length;

  it('is far below the limit', async () => {
    expect(await sizeOf(code)).toBeLessThan(unpackedLimit / 4);
  });

  it('has every thread and every package that the sources name at run time', async () => {
    const named = await namedAtRunTime();
    expect(named.threads).toContain('worker.js');
    expect(named.packages).toContain('onnxruntime-node/package.json');
    for (const thread of named.threads) expect(existsSync(join(code, thread)), thread).toBe(true);
    const require = createRequire(join(code, 'index.js'));
    for (const name of named.packages) expect(require.resolve(name)).toContain(await realpath(code));
  });

  it('has the playground beside its code', async () => {
    await using api = await RuntimeApi.start();
    await using _ = new FunctionProcess(options(api));
    for (const path of ['/', '/playground/main.js', '/playground/theme.css']) {
      const invocation = api.invoke(get(path));
      expect(await invocation.head, path).toMatchObject({ statusCode: 200 });
      expect((await invocation.text()).length).toBeGreaterThan(1000);
    }
  });

  it('loads the model from S3 once and tells how long each part took', async () => {
    await using api = await RuntimeApi.start();
    await using lambda = new FunctionProcess(options(api));
    for (const seed of [1, 2, 3]) {
      const invocation = api.invoke(ask(seed));
      expect(await invocation.head).toMatchObject({ statusCode: 200 });
      expect(await invocation.text()).toMatch(/^data: \{.*\n\ndata: \[DONE\]\n\n$/s);
    }
    expect(reads('current.json')).toBe(1);
    const [line] = await lambda.says(/^\{.*ColdStart_total.*\}$/m);
    const metrics = JSON.parse(line);
    const phases = ['init', 'manifest', 'blobs', 'session', 'first_token'];
    const took = phases.map((phase) => metrics[`ColdStart_${phase}`]);
    expect(took.every((ms) => ms >= 0)).toBe(true);
    expect(took.reduce((sum, ms) => sum + ms, 0)).toBeCloseTo(metrics.ColdStart_total, 0);
    expect(metrics._aws.CloudWatchMetrics[0]).toMatchObject({
      Namespace: 'Foldgate',
      Dimensions: [['Model']],
    });
    // A line is read from a pipe, and may come later than the answer that it tells of.
    const generations = () => lambda.output.match(/^\{.*"CompletionTokens":.*\}$/gm) ?? [];
    await expect.poll(generations).toHaveLength(3);
    expect(generations().map((line) => JSON.parse(line))).toMatchObject(
      [1, 2, 3].map(() => ({ Model: 'pico', PromptTokens: 3, CompletionTokens: 4 })),
    );
    expect(lambda.output.match(/ColdStart_total"[,:]\d/g)).toHaveLength(1);
  });

  it('loads it once for all requests at once of a managed instance', async () => {
    await using api = await RuntimeApi.start();
    await using lambda = new FunctionProcess(options(api, { concurrency: { invocations: 4, workers: 1 } }));
    const invocations = [1, 2, 3, 4].map((seed) => api.invoke(ask(seed)));
    for (const invocation of invocations) {
      expect(await invocation.head).toMatchObject({ statusCode: 200 });
      await invocation.ended;
    }
    expect(reads('current.json')).toBe(1);
    expect(lambda.isAlive).toBe(true);
  });

  it('tells each request that the model is not there, and finds it once it is', async () => {
    await using api = await RuntimeApi.start();
    await using _lambda = new FunctionProcess(options(api, { env: { FOLDGATE_MODEL: 'late' } }));
    const early = api.invoke(completion({ model: 'late', prompt: [1] }));
    expect(await early.head).toMatchObject({ statusCode: 503 });
    await copyModel(await address(store, 'pico'), await address(store, 'late'));
    const late = api.invoke(completion({ model: 'late', prompt: [1], max_tokens: 1 }));
    expect(await late.head).toMatchObject({ statusCode: 200 });
  });

  it('goes over to a new version without a new deployment', async () => {
    await using api = await RuntimeApi.start();
    await using _lambda = new FunctionProcess(options(api, { env: { FOLDGATE_REFRESH_MS: '1' } }));
    const version = async () => {
      const invocation = api.invoke(completion({ model: 'pico', prompt: [1], max_tokens: 1 }));
      return JSON.parse(await invocation.text()).system_fingerprint;
    };
    const before = await version();
    const { storeUrl } = await storedPico('mistral');
    await copyModel(await address(storeUrl, 'pico'), await address(store, 'pico'));
    // The first request that comes now starts the change, a later one sees it.
    await expect.poll(version, { timeout: 30_000 }).not.toBe(before);
  });

  it('asks for one of the keys in the store, which change without a new deployment', async () => {
    await using api = await RuntimeApi.start();
    const env = { FOLDGATE_ACCESS: 'keys', FOLDGATE_REFRESH_MS: '1' };
    await using lambda = new FunctionProcess(options(api, { env }));
    const statusOf = async (key: string, path = '/v1/models') => {
      const invocation = api.invoke(withKey(get(path), key));
      return (await invocation.head).statusCode;
    };
    // Without keys nobody gets in.
    expect(await statusOf('first')).toBe(500);
    await lambda.says(/There is no s3:\/\/\S+\/api-keys, so nobody may ask/);
    await putKeys('first');
    expect(await statusOf('first')).toBe(200);
    expect(await statusOf('second')).toBe(401);
    expect(await statusOf('', '/healthz')).toBe(200);
    await putKeys('second');
    await expect.poll(() => statusOf('first')).toBe(401);
    expect(await statusOf('second')).toBe(200);
  });

  /** Puts a file of keys beside the models, as the runbook does. */
  async function putKeys(...keys: string[]): Promise<void> {
    const [, bucket, prefix] = /^s3:\/\/([^/]+)\/(.*)$/.exec(store)!;
    const entries = keys.map((key) => ({ name: key, hash: hashKey(key) }));
    const Body = formatKeyFile(entries);
    await s3.client().send(new PutObjectCommand({ Bucket: bucket, Key: `${prefix}/api-keys`, Body }));
  }

  it('waits for the model where the platform does, and fails there where it cannot be had', async () => {
    await using api = await RuntimeApi.start();
    const env = { AWS_LAMBDA_INITIALIZATION_TYPE: 'provisioned-concurrency', FOLDGATE_MODEL: 'absent' };
    await using lambda = new FunctionProcess(options(api, { env }));
    await lambda.says(/There is no model absent/);
    await expect.poll(() => api.initError).toMatchObject({ errorType: 'ModelUnavailableError' });
  });

  it('names the variable that is missing', async () => {
    await using api = await RuntimeApi.start();
    await using lambda = new FunctionProcess(options(api, { env: { FOLDGATE_STORE: '' } }));
    await lambda.says(/The environment variable FOLDGATE_STORE is not set/);
  });
});
