import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { chmod, copyFile, mkdir, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { storedPico } from '../../../test/fixtures/served-pico.ts';
import { sizeOf } from '../../lambda/bundle.ts';
import { carryOut, type Image } from '../fixtures/dockerfile.ts';
import { tool } from '../fixtures/tools.ts';

const root = join(import.meta.dirname, '../../..');
const dockerfile = join(root, 'infra/container/Dockerfile');
const run = promisify(execFile);

it('hadolint has nothing against the Dockerfile', async () => {
  const { stdout } = await run(tool('hadolint'), ['--no-color', dockerfile]).catch((error) => error);
  expect(stdout).toBe('');
});

it('the Dockerfile copies all that is built', async () => {
  const { include } = JSON.parse(await readFile(join(root, 'tsconfig.build.json'), 'utf8'));
  const copied = await readFile(dockerfile, 'utf8');
  const ignored = await readFile(`${dockerfile}.dockerignore`, 'utf8');
  for (const folder of include) {
    expect(copied).toContain(`COPY ${folder} ./${folder}\n`);
    expect(ignored).toContain(`!${folder}\n`);
  }
});

/** Without root there is no other user to become. */
describe.skipIf(process.getuid?.() !== 0)('the image', () => {
  let folder: string;
  let image: Image;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'foldgate-image-'));
    await chmod(folder, 0o755);
    image = carryOut(dockerfile, root, folder);
    // Of the base: Node where its image has it, and where the user may run it wherever this one lies.
    await mkdir(join(image.folder, 'usr/local/bin'), { recursive: true });
    await copyFile(process.execPath, join(image.folder, 'usr/local/bin/node'));
  }, 600_000);

  afterAll(() => rm(folder, { recursive: true, force: true }));

  it('is small, and has the natives of one platform', async () => {
    expect(await sizeOf(join(image.folder, 'app'))).toBeLessThan(160 * 1024 * 1024);
    const files = await readdir(join(image.folder, 'app/node_modules'), { recursive: true });
    const natives = files.filter((path) => /\.(node|so[.\d]*|dll|dylib)$/.test(path));
    const { arch } = process;
    expect(natives.sort()).toEqual([
      `@koromix/koffi-linux-${arch}/linux_${arch}/koffi.node`,
      `onnxruntime-node/bin/napi-v6/linux/${arch}/libonnxruntime.so.1`,
    ]);
  });

  it('has no sources, no tests and no tools', () => {
    for (const path of ['cli', 'test', 'infra', 'node_modules/typescript', 'node_modules/vitest'])
      expect(existsSync(join(image.folder, 'app', path)), path).toBe(false);
  });

  it('does not run as root', () => {
    expect(image.user).toEqual({ uid: 1000, gid: 1000 });
  });

  const path = () => [join(image.folder, 'usr/local/bin'), process.env.PATH].join(':');

  /** As `docker run` would: the image's command and user, its environment alone, and what the user adds. */
  function start(env: Record<string, string>): ChildProcess {
    const [program, ...args] = image.command;
    return spawn(program!, args, {
      cwd: image.workingFolder,
      ...image.user,
      env: { PATH: path(), ...image.env, ...env } as NodeJS.ProcessEnv,
      stdio: ['ignore', 'ignore', 'pipe'],
    });
  }

  it('serves, and lets what runs end on SIGTERM', async () => {
    const { storeUrl } = await storedPico('llama');
    await run('chmod', ['-R', 'a+rX', new URL(storeUrl).pathname.replace(/\/store$/, '')]);
    const server = start({ FOLDGATE_STORE: storeUrl, FOLDGATE_MODEL: 'pico', FOLDGATE_PORT: '0' });
    const exited = once(server, 'exit');
    let log = '';
    const ready = new Promise<string>((resolve, reject) => {
      server.stderr!.setEncoding('utf8').on('data', (text) => {
        log += text;
        const match = /is ready: (http:\S+),/.exec(log);
        if (match) resolve(match[1]!.replace('0.0.0.0', '127.0.0.1'));
      });
      exited.then(([code]) => reject(new Error(`ended with ${code}:\n${log}`)));
    });
    try {
      const baseURL = await ready;
      const client = new OpenAI({ baseURL, apiKey: 'any', maxRetries: 0 });
      const stream = await client.completions.create({
        model: 'pico',
        prompt: [1, 2, 3],
        max_tokens: 60,
        stream: true,
      });
      let parts = 0;
      let finish: string | null | undefined;
      for await (const part of stream) {
        if (parts++ === 0) server.kill('SIGTERM');
        finish = part.choices[0]?.finish_reason ?? finish;
      }
      expect(finish).toMatch(/^(length|stop)$/);
      expect(await exited).toEqual([0, null]);
    } finally {
      server.kill('SIGKILL');
    }
  });

  it('folds: the job in a cluster runs the same image', async () => {
    const [program, ...args] = image.command;
    const { stdout } = await run(program!, [...args.slice(0, -1), 'fold', '--help'], {
      cwd: image.workingFolder,
      ...image.user,
      env: { PATH: path(), ...image.env } as NodeJS.ProcessEnv,
    });
    expect(stdout).toContain('fold a checkpoint and publish it into a store');
  });
});
