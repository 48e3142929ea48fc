import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { requirement } from '../fixtures/requirement.ts';
import { environmentOf, root, start, succeed } from './processes.ts';

/** What the package must hold, and what has no place in it. */
const expected = [
  'bin/foldgate.js',
  'dist/cli/main.js',
  'dist/functions/gateway/playground/page/page.html',
  'dist/functions/gateway/playground/page/theme.css',
  'dist/functions/gateway/playground/page/icon.svg',
  'dist/functions/gateway/playground/page/main.js',
  'LICENSE',
  'README.md',
  'CHANGELOG.md',
  'package.json',
];
const unwanted = /(^|\/)(test|node_modules|\.cache)\/|^checkpoints\/.*\/train\/|(?<!\.d)\.ts$/;

describe('the published package', () => {
  let folder: string;
  let files: string[];
  /** Where a user has installed it: outside of the checkout, with nothing of the checkout's on PATH. */
  let user: string;
  let environment: NodeJS.ProcessEnv;

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'foldgate-package-'));
    environment = environmentOf(process.execPath, { ONNXRUNTIME_NODE_INSTALL: 'skip' });
    const pack = await succeed('npm', ['pack', '--json', '--pack-destination', folder], { env: environment });
    // The build, which npm runs first, may print to stdout too.
    const [{ filename, files: packed }] = JSON.parse(pack.stdout.slice(pack.stdout.indexOf('[\n')));
    files = packed.map((file: { path: string }) => file.path);

    user = join(folder, 'user');
    mkdirSync(user);
    writeFileSync(join(user, 'package.json'), '{"private": true}');
    const args = ['install', '--prefer-offline', '--no-audit', '--no-fund', join(folder, filename)];
    await succeed('npm', args, { cwd: user, env: environment });
  }, 600_000);

  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  const foldgate = (...args: string[]) =>
    succeed('npx', ['--no-install', 'foldgate', ...args], { cwd: user, env: environment });

  it('holds the build and its papers, and no sources', () => {
    expect(files).toEqual(expect.arrayContaining(expected));
    expect(files.filter((path) => unwanted.test(path))).toEqual([]);
  });

  it('prints its help without a warning', async () => {
    const result = await foldgate('--help');
    expect(result.stdout).toContain('Usage: foldgate');
    expect(result.stderr).toBe('');
  });

  it('folds the bundled checkpoint, describes the result and serves it with the playground', async (ctx) => {
    const checkpoint = join('node_modules', 'foldgate', 'checkpoints', 'tales-5m');
    const weights = existsSync(join(user, checkpoint)) ? readdirSync(join(user, checkpoint)) : [];
    const there = weights.some((name) => name.endsWith('.safetensors'));
    requirement(ctx, there ? undefined : 'the weights of checkpoints/tales-5m');

    await foldgate('fold', checkpoint, '--share', '2', '--out', 'file:./models/tales');
    const inspect = await foldgate('inspect', 'file:./models/tales', '--json');
    const { layers, distinctBlocks, parameters, originalParameters } = JSON.parse(inspect.stdout);
    expect(distinctBlocks).toBe(Math.ceil(layers.length / 2));
    expect(parameters).toBeLessThan(originalParameters);

    const args = [
      '--no-install',
      'foldgate',
      'serve',
      '--store',
      './models',
      '--port',
      '0',
      '--threads',
      '1',
    ];
    const server = start('npx', args, { cwd: user, env: environment, detached: true });
    onTestFinished(() => void process.kill(-server.child.pid!, 'SIGKILL'));
    const [, url] = await server.says(/Listening on (http:[\d.:/]+)/);
    const page = await (await fetch(`${url}/`)).text();
    for (const [, part] of page.matchAll(/"playground\/([^"]+)"/g)) {
      expect((await fetch(`${url}/playground/${part}`)).status, part).toBe(200);
    }
  });
});

describe('the lock file', () => {
  it('installs under npm 10 too', async (ctx) => {
    requirement(ctx, process.env.CI === 'true' ? undefined : 'installs 400 MB; set CI=true');
    const folder = mkdtempSync(join(tmpdir(), 'foldgate-npm10-'));
    try {
      for (const file of ['package.json', 'package-lock.json', '.npmrc'])
        cpSync(join(root, file), join(folder, file));
      const env = environmentOf(process.execPath);
      const args = ['--yes', 'npm@10', 'ci', '--prefer-offline', '--no-audit', '--no-fund'];
      await succeed('npx', args, { cwd: folder, env });
      const program = "console.log(typeof require('koffi').load)";
      const load = await succeed('node', ['-e', program], { cwd: folder, env });
      expect(load.stdout).toBe('function\n');
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
