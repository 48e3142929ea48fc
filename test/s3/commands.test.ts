import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ListMultipartUploadsCommand } from '@aws-sdk/client-s3';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { publish } from '../../artifact/models/publish.ts';
import { FileStore } from '../../artifact/store/file.ts';
import { startFoldgate } from '../fixtures/command-line.ts';
import { picoPath } from '../fixtures/pico.ts';
import { makeStoredModel } from '../fixtures/stored-model.ts';
import { temporaryFolder } from '../fixtures/temporary-folder.ts';
import { FaultProxy } from './fault-proxy.ts';
import { clientEnvironment, isInstalled, S3Server } from './servers.ts';

describe.skipIf(!isInstalled('versitygw'))('the command line with S3', () => {
  let server: S3Server;
  beforeAll(async () => {
    server = await S3Server.start('versitygw');
  });
  afterAll(() => server?.[Symbol.asyncDispose]());

  const run = (...args: string[]) => startFoldgate(args, clientEnvironment(server.endpoint)).result;

  const localModel = async () => {
    const folder = await temporaryFolder();
    const { manifest, files } = await makeStoredModel(join(folder, 'source'), { blockBytes: 20_000_000 });
    await publish(new FileStore(folder), 'tiny', manifest, files);
    return join(folder, 'tiny');
  };

  it('copies to S3, lists, inspects, verifies, removes and collects there', async () => {
    const bucket = await server.makeBucket();
    const copied = await run('copy', await localModel(), `s3://${bucket}/team/tiny`);
    expect(copied).toMatchObject({ code: 0, stdout: expect.stringMatching(/^[0-9a-f]{64}\n$/) });
    expect((await run('list', `s3://${bucket}/team`)).stdout).toMatch(/\ntiny +llama/);
    const inspected = await run('inspect', `s3://${bucket}/team/tiny`, '--json');
    expect(JSON.parse(inspected.stdout)).toMatchObject({ name: 'tiny', version: copied.stdout.trim() });
    expect((await run('verify', `s3://${bucket}/team/tiny`)).code).toBe(0);
    expect((await run('remove', `s3://${bucket}/team/tiny`)).code).toBe(0);
    // S3 counts whole seconds, and what was written in this one is not old.
    const collected = await run('gc', `s3://${bucket}/team`, '--dry-run', '--older-than', '0s', '--json');
    expect(collected.code).toBe(0);
  });

  it('folds into S3 and evaluates from there, showing the download', async () => {
    const bucket = await server.makeBucket();
    const folder = await temporaryFolder();
    await writeFile(join(folder, 'text.txt'), 'Once upon a time there was a little girl. '.repeat(5));
    const foldgate = (...args: string[]) => {
      const environment = { ...clientEnvironment(server.endpoint), FOLDGATE_CACHE: join(folder, 'cache') };
      return startFoldgate(args, environment).result;
    };
    const url = `s3://${bucket}/tiny`;
    const folded = await foldgate('fold', picoPath('llama'), '--no-quality', '--out', url);
    expect(folded).toMatchObject({ code: 0, stdout: `${url}\n` });
    const evaluated = await foldgate('eval', url, '--text', join(folder, 'text.txt'), '--json');
    expect(JSON.parse(evaluated.stdout).perplexity).toBeGreaterThan(1);
    expect(evaluated.stderr).toContain('Fetching tiny');

    // A wrong bucket shows before the checkpoint is opened, which is not there either.
    const wrong = await foldgate('fold', join(folder, 'none'), '--out', 's3://no-such-bucket-here/tiny');
    expect(wrong).toMatchObject({ code: 1, stderr: expect.stringContaining('there is no such bucket') });
  });

  it('serves what it fetches while the program is still being read, each blob once', async () => {
    const bucket = await server.makeBucket();
    const folder = await temporaryFolder();
    const url = `s3://${bucket}/tiny`;
    expect(await run('fold', picoPath('llama'), '--no-quality', '--out', url)).toMatchObject({ code: 0 });
    const proxy = await FaultProxy.start(server.endpoint);
    const environment = { ...clientEnvironment(proxy.endpoint), FOLDGATE_CACHE: join(folder, 'cache') };
    const args = ['serve', '--store', `s3://${bucket}`, '--model', 'tiny', '--port', '0'];
    const { child, result } = startFoldgate(args, environment);
    const blobs = () => proxy.requests.filter(({ url }) => url.includes('/blobs/'));
    let blobsWhenListening: number | undefined;
    let log = '';
    child.stderr!.on('data', (text) => {
      log += text;
      if (log.includes('Listening')) blobsWhenListening ??= blobs().length;
      if (log.includes('is ready')) child.kill('SIGTERM');
    });
    expect(await result).toMatchObject({ code: 0 });
    await proxy[Symbol.asyncDispose]();
    expect(blobsWhenListening).toBeGreaterThan(0);
    const asked = blobs().map(({ url }) => url);
    expect(asked.length).toBeGreaterThan(3);
    expect(new Set(asked).size).toBe(asked.length);
  });

  it('tidies up after Ctrl-C: exit code 130, no upload left, no model', async () => {
    const bucket = await server.makeBucket();
    const proxy = await FaultProxy.start(server.endpoint);
    const url = `s3://${bucket}/tiny`;
    const { child, result } = startFoldgate(
      ['copy', await localModel(), url],
      clientEnvironment(proxy.endpoint),
    );
    let interrupted = false;
    proxy.fault = ({ url }) => {
      // Once: a second Ctrl-C is meant to end it the hard way.
      if (url.includes('partNumber=2') && !interrupted) interrupted = child.kill('SIGINT');
      return undefined;
    };
    expect(await result).toMatchObject({
      code: 130,
      stdout: '',
      stderr: expect.stringContaining('Interrupted'),
    });
    await proxy[Symbol.asyncDispose]();
    const { Uploads } = await server.client().send(new ListMultipartUploadsCommand({ Bucket: bucket }));
    expect(Uploads ?? []).toEqual([]);
    expect((await run('inspect', url)).code).toBe(1);
  });

  it('takes endpoint, region and credentials from a profile, and needs no region at all', async () => {
    const bucket = await server.makeBucket();
    const home = await temporaryFolder();
    const { AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY } = clientEnvironment(server.endpoint);
    const none = {
      AWS_ACCESS_KEY_ID: '',
      AWS_SECRET_ACCESS_KEY: '',
      AWS_REGION: '',
      AWS_ENDPOINT_URL_S3: '',
    };
    await mkdir(join(home, '.aws'));
    await writeFile(
      join(home, '.aws', 'config'),
      `[profile own]\nendpoint_url = ${server.endpoint}\naws_access_key_id = ${AWS_ACCESS_KEY_ID}\n` +
        `aws_secret_access_key = ${AWS_SECRET_ACCESS_KEY}\n`,
    );
    const environment = { ...none, HOME: home, AWS_PROFILE: 'own' };
    const { code, stderr } = await startFoldgate(['list', `s3://${bucket}`], environment).result;
    expect({ code, stderr }).toEqual({ code: 0, stderr: `There are no models in s3://${bucket}.\n` });
  });

  it('says what is wrong with the bucket, the endpoint or the credentials, without a stack', async () => {
    const bucket = await server.makeBucket();
    const url = `s3://${bucket}/tiny`;
    const missing = await run('list', 's3://no-such-bucket-here');
    expect(missing).toMatchObject({ code: 1, stderr: expect.stringContaining('there is no such bucket') });
    const without = { AWS_ACCESS_KEY_ID: '', AWS_SECRET_ACCESS_KEY: '', AWS_EC2_METADATA_DISABLED: 'true' };
    const environment = { ...clientEnvironment(server.endpoint), ...without, HOME: await temporaryFolder() };
    const anonymous = await startFoldgate(['inspect', url], environment).result;
    expect(anonymous).toMatchObject({ code: 2, stderr: expect.stringContaining('Set AWS_ACCESS_KEY_ID') });
    const nowhere = await startFoldgate(['inspect', url], clientEnvironment('http://127.0.0.1:9')).result;
    expect(nowhere).toMatchObject({ code: 1, stderr: expect.stringContaining('could not be reached') });
    for (const { stderr } of [missing, anonymous, nowhere]) expect(stderr).not.toMatch(/\n {4}at /);
  });
});
