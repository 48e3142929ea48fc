import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, type TestContext } from 'vitest';
import { program, startFoldgate } from '../fixtures/command-line.ts';
import { MemoryGroup } from '../fixtures/memory-group.ts';
import { realModel } from '../fixtures/models.ts';

const megabyte = 1024 * 1024;

/** Qwen2.5-Coder-0.5B with a fifth of its layers removed, in int4, its embedding and head in int8. */
describe('a process with a limit of memory', () => {
  let folder: string;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'foldgate-memory-'));
  });

  afterAll(() => rm(folder, { recursive: true, force: true }));

  it('serves in 512 MB', async (ctx) => {
    const fold = ['--rank', 'uniform', '--remove', '0.2', '--calibrate', 'none', '--no-quality'];
    const args = ['fold', realModel(ctx, 'qwen'), ...fold, '--out', `file:${folder}/qwen`];
    const { code, stderr } = await startFoldgate(args, { FOLDGATE_CACHE: join(folder, 'cache') }).result;
    expect(code, stderr).toBe(0);
    await within(ctx, 512, async (serve) => {
      const [, url] = await serve.says(/is ready: (http\S+),/);
      const response = await fetch(`${url}/completions`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ model: 'qwen', prompt: 'def add(a, b):', max_tokens: 16, temperature: 0 }),
      });
      expect(response.status).toBe(200);
      const answer = (await response.json()) as { choices: { text: string }[] };
      expect(answer.choices[0]!.text).toContain('return a + b');
    });
  });

  it('says in 256 MB that this is too little, instead of being killed', async (ctx) => {
    realModel(ctx, 'qwen');
    await within(ctx, 256, async ({ ended, output }) => {
      expect(await ended).toEqual([1, null]);
      expect(output()).toMatch(/qwen needs at least 39\d MiB of memory; this process may have 256 MiB/);
    });
  });

  interface Serving {
    /** Exit code and signal. */
    ended: Promise<unknown[]>;
    output(): string;
    says(pattern: RegExp): Promise<RegExpExecArray>;
  }

  async function within(
    ctx: TestContext,
    megabytes: number,
    use: (serving: Serving) => Promise<void>,
  ): Promise<void> {
    const group = MemoryGroup.make(megabytes * megabyte);
    if (typeof group === 'string') return ctx.skip(`Needs ${group}`);
    const args = [program, 'serve', '--store', folder, '--model', 'qwen', '--port', '0', '--threads', '1'];
    const child = spawn(...group.command(process.execPath, args), { stdio: ['ignore', 'ignore', 'pipe'] });
    const ended = once(child, 'close');
    let output = '';
    let look = () => {};
    child.stderr!.setEncoding('utf8').on('data', (text) => {
      output += text;
      look();
    });
    const says = (pattern: RegExp) => {
      const said = Promise.withResolvers<RegExpExecArray>();
      look = () => {
        const match = pattern.exec(output);
        if (match) said.resolve(match);
      };
      look();
      ended.then((end) => said.reject(new Error(`ended with ${end}:\n${output}`)));
      return said.promise;
    };
    try {
      await use({ ended, output: () => output, says });
    } finally {
      child.kill();
      await ended;
      group[Symbol.dispose]();
    }
  }
});
