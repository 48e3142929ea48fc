import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { HeadBucketCommand, PutBucketVersioningCommand, PutObjectCommand } from '@aws-sdk/client-s3';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readManifest } from '../../../artifact/models/read.ts';
import { openStore } from '../../../artifact/store/open.ts';
import { ApiKeys } from '../../../functions/gateway/access/api-keys.ts';
import { parseKeyFile } from '../../../functions/gateway/access/key-file.ts';
import { storedPico } from '../../../test/fixtures/served-pico.ts';
import { temporaryFolder } from '../../../test/fixtures/temporary-folder.ts';
import { clientEnvironment, isInstalled, S3Server, useEndpoint } from '../../../test/s3/servers.ts';
import { contextOf } from '../../deploy/cdk.ts';

const run = promisify(execFile);
const infra = join(import.meta.dirname, '../..');
const hasS3 = isInstalled('moto');

it.each([
  [['--context', 'model=a'], 'a'],
  [['-c', 'model=a', '-c', 'model=b=c'], 'b=c'],
  [['--context=model=a'], 'a'],
  [['--context', 'memory=1', 'model=a'], undefined],
])('the model in %j is %s', (args, model) => {
  expect(contextOf(args, 'model')).toBe(model);
});

describe.skipIf(!hasS3)('commands', () => {
  let s3: S3Server;
  let bucket: string;

  beforeAll(async () => {
    s3 = await S3Server.start('moto');
    useEndpoint(s3.endpoint);
  });

  afterAll(() => s3?.[Symbol.asyncDispose]());

  /** Runs a command of `infra/commands` with a CDK that only notes what it is asked for. */
  async function command(folder: string, name: string, args: string[], env: Record<string, string> = {}) {
    const recording = join(folder, 'asked');
    const result = await run(process.execPath, [join(infra, 'commands', `${name}.ts`), ...args], {
      env: {
        ...process.env,
        ...clientEnvironment(s3.endpoint),
        FOLDGATE_CDK: join(infra, 'test/fixtures/recording-cdk.cjs'),
        FOLDGATE_OUTPUTS: join(folder, 'outputs'),
        RECORDING: recording,
        BUCKET: bucket,
        ...env,
      },
    });
    const asked = await readFile(recording, 'utf8').catch(() => '');
    return { ...result, asked: asked.split('\n').map((line) => line.split(' ').slice(0, 2).join(' ')) };
  }

  it('deploy makes the bucket, brings the model and a key, and then the function', async () => {
    bucket = await s3.makeBucket();
    const folder = await temporaryFolder();
    const { modelUrl } = await storedPico('llama');
    const { stdout, asked } = await command(folder, 'deploy', ['--context', `model=${modelUrl}`]);
    expect(asked).toEqual(['deploy FoldgateModels', 'deploy Foldgate-pico', '']);
    const store = await openStore(`s3://${bucket}/models`);
    expect((await readManifest(store, 'pico')).manifest.name).toBe('pico');
    expect(stdout).toContain('pico is at https://abc.on.aws/v1');
    const [, key] = /first API key, shown this once: (\S+)/.exec(stdout)!;
    const file = new TextDecoder().decode(await store.read('api-keys'));
    expect(file).not.toContain(key);
    expect(new ApiKeys(parseKeyFile(file, 'api-keys')).find(key!)).toMatchObject({ name: 'first' });
  });

  it('deploy again leaves the keys alone', async () => {
    const folder = await temporaryFolder();
    const { modelUrl } = await storedPico('llama');
    const { stdout } = await command(folder, 'deploy', ['--context', `model=${modelUrl}`]);
    expect(stdout).not.toContain('API key, shown');
  });

  it('deploy of a model in S3 makes no bucket; of none, the bucket alone', async () => {
    const folder = await temporaryFolder();
    const of = await command(folder, 'deploy', ['--context', `model=s3://${bucket}/models/pico`]);
    expect(of.asked).toEqual(['deploy Foldgate-pico', '']);
    const none = await command(await temporaryFolder(), 'deploy', []);
    expect(none.asked).toEqual(['deploy FoldgateModels', '']);
    expect(none.stdout).toContain(`--out s3://${bucket}/models/NAME`);
  });

  it('deploy ends where CDK fails', async () => {
    const folder = await temporaryFolder();
    const { modelUrl } = await storedPico('llama');
    const failing = command(folder, 'deploy', ['--context', `model=${modelUrl}`], {
      FAILING: 'FoldgateModels',
    });
    await expect(failing).rejects.toMatchObject({ code: 1 });
  });

  it('destroy leaves the models unless told otherwise', async () => {
    bucket = await s3.makeBucket();
    const client = s3.client();
    await client.send(
      new PutBucketVersioningCommand({ Bucket: bucket, VersioningConfiguration: { Status: 'Enabled' } }),
    );
    for (const Body of ['one', 'two'])
      await client.send(new PutObjectCommand({ Bucket: bucket, Key: 'k', Body }));
    const folder = await temporaryFolder();
    await command(folder, 'deploy', []);

    const gentle = await command(folder, 'destroy', ['--context', 'model=./models/tales']);
    expect(gentle.asked).toEqual(['deploy FoldgateModels', 'destroy Foldgate-tales', '']);
    await client.send(new HeadBucketCommand({ Bucket: bucket }));

    const halfhearted = command(folder, 'destroy', ['--context', 'model=./tales', '--delete-models', 'yes?']);
    await expect(halfhearted).rejects.toMatchObject({ code: 2 });

    const { stdout, asked } = await command(folder, 'destroy', [
      '--context',
      'model=./models/tales',
      '--delete-models',
      'YES',
    ]);
    expect(asked.slice(2)).toEqual(['destroy Foldgate-tales', 'destroy FoldgateModels', '']);
    expect(stdout).toContain(`${bucket} is deleted, with 2 versions of objects`);
    await expect(client.send(new HeadBucketCommand({ Bucket: bucket }))).rejects.toMatchObject({
      name: 'NotFound',
    });
  });
});
