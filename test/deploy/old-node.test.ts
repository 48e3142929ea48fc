import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { requirement } from '../fixtures/requirement.ts';
import { environmentOf, findOldNode, freePort, root, run, start, succeed } from './processes.ts';

const oldNode = findOldNode();
const foldgate = join(root, 'bin', 'foldgate.js');
const runner = join(root, 'bin', 'run.js');
/** A port where nothing listens, and an npm cache with nothing in it: npm as it is without a network. */
const offline = (folder: string) => ({
  npm_config_registry: 'http://127.0.0.1:9/',
  npm_config_cache: join(folder, 'npm'),
});

describe('on a Node that is too old', () => {
  let folder: string;
  let cache: string;
  let environment: NodeJS.ProcessEnv;

  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'foldgate-old-node-'));
    cache = join(folder, 'cache');
    environment = environmentOf(oldNode ?? 'node', { FOLDGATE_CACHE: cache });
  });

  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  beforeEach((ctx) =>
    requirement(ctx, oldNode ? undefined : 'no Node from 18 to 22.17 on PATH; set FOLDGATE_OLD_NODE to one'),
  );

  const on = (script: string, ...args: string[]) => run(oldNode!, [script, ...args], { env: environment });

  /** A script on its way through the launcher; what it prints and how it ends is the test's subject. */
  function script(name: string, text: string): string {
    const path = join(folder, name);
    writeFileSync(path, text);
    return path;
  }

  it('fetches Node 24 for the first command, and one copy for two at once', async () => {
    const [first, second] = await Promise.all([on(foldgate, '--help'), on(foldgate, '--help')]);
    for (const result of [first, second]) {
      expect(result).toMatchObject({ code: 0, stdout: expect.stringContaining('Usage: foldgate') });
      expect(result.stderr).toMatch(/^Node \d+\.\d+\.\d+ is too old .*fetching Node 24 once/);
    }
    expect(readdirSync(cache)).toEqual([`node24-${process.platform}-${process.arch}`]);
  });

  it('needs neither network nor words for the next ones', async () => {
    const env = { ...environment, ...offline(folder) };
    const result = await run(oldNode!, [foldgate, '--version'], { env });
    expect(result).toMatchObject({ code: 0, stderr: '' });
  });

  it('passes on the exit code', async () => {
    expect(await on(foldgate, '--no-such-option')).toMatchObject({ code: 2, stdout: '' });
  });

  it('runs development tools', async () => {
    expect(await on(runner, 'tsc', '--version')).toMatchObject({ code: 0, stdout: /^Version \d/ });
    expect(await on(runner, 'no-such-tool')).toMatchObject({ code: 2 });
  });

  it('puts the newer Node first on PATH', async () => {
    const path = script(
      'path.ts',
      `console.log(require('child_process').execSync('node --version').toString());`,
    );
    const result = await on(runner, path);
    expect(result.stdout).toMatch(/^v24\./);
  });

  it('passes on signals, and ends the way the command did', async () => {
    const polite = script(
      'polite.js',
      `process.on('SIGTERM', () => { console.log('asked to end'); process.exit(7); });
       setInterval(() => {}, 1000); console.log('ready');`,
    );
    const asked = start(oldNode!, [runner, polite], { env: environment });
    await asked.says(/ready/);
    asked.child.kill('SIGTERM');
    expect(await asked.finished).toMatchObject({ code: 7, stdout: 'ready\nasked to end\n' });

    const abrupt = script('abrupt.js', `process.kill(process.pid, 'SIGKILL');`);
    expect(await on(runner, abrupt)).toMatchObject({ code: null, signal: 'SIGKILL' });
  });

  it('says what to do without a network, and leaves nothing behind', async () => {
    const empty = join(folder, 'unreachable');
    const env = { ...environment, FOLDGATE_CACHE: empty, ...offline(folder) };
    const result = await run(oldNode!, [foldgate, '--help'], { env });
    expect(result).toMatchObject({ code: 1, stdout: '' });
    expect(result.stderr).toMatch(
      /could not fetch .* from the npm registry:[\s\S]*ECONNREFUSED[\s\S]*or install Node 22\.18/,
    );
    expect(readdirSync(empty)).toEqual([]);
  });

  it('leaves nothing behind when interrupted', async () => {
    const empty = join(folder, 'interrupted');
    const first = start(oldNode!, [foldgate, '--help'], { env: { ...environment, FOLDGATE_CACHE: empty } });
    await first.says(/fetching/);
    first.child.kill('SIGINT');
    expect(await first.finished).toMatchObject({ code: 130, stdout: '' });
    expect(readdirSync(empty)).toEqual([]);
  });

  it('serves the bundled model with "npm start"', async (ctx) => {
    const weights = join(root, 'checkpoints', 'tales-5m', 'model.safetensors');
    requirement(ctx, existsSync(weights) ? undefined : `${weights} is not there`);
    const port = await freePort();
    const server = start('npm', ['start'], {
      env: { ...environment, FOLDGATE_CACHE: join(folder, 'start'), PORT: String(port) },
      // npm starts a shell, that the launcher, that the server: as a terminal does, end them as a group.
      detached: true,
    });
    try {
      const [, curl] = await server.says(/^[ \t$]*(curl (?:[^\n]*\\\n)*[^\n]*)\n/m);
      expect(await fetch(`http://127.0.0.1:${port}/readyz`)).toMatchObject({ status: 200 });
      const strictly = `curl() { command curl --fail-with-body -sS "$@"; }\n${curl}`;
      const answer = await succeed('bash', ['-c', strictly], { env: environment });
      // One event of the stream a token, or one body.
      const text = [...answer.stdout.matchAll(/"(?:text|content)":\s*"([^"]*)"/g)].map(([, part]) => part);
      expect(text.join('')).toMatch(/\w+ \w+ \w+/);
    } finally {
      process.kill(-server.child.pid!, 'SIGTERM');
      await server.finished;
    }
  });
});
