import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { expect, it, onTestFinished } from 'vitest';
import { startHub } from '../../../test/fixtures/hub-server.ts';
import { temporaryFolder } from '../../../test/fixtures/temporary-folder.ts';
import { foldScript } from '../../kubernetes/fold-job.ts';

const root = join(import.meta.dirname, '../../..');
const checkpoint = join(root, 'checkpoints/tales-5m');

it("the job's script goes on where it was killed, on the same volume", async () => {
  const folder = await temporaryFolder();
  const files = [
    'config.json',
    'tokenizer.json',
    'tokenizer_config.json',
    'generation_config.json',
    'model.safetensors',
  ];
  const there = (await readdir(checkpoint)).filter((name) => files.includes(name));
  const contents = await Promise.all(
    there.map(async (name) => [name, await readFile(join(checkpoint, name))]),
  );
  const hub = await startHub('org/tales', Object.fromEntries(contents));
  onTestFinished(() => hub.close());

  const start = () => {
    const args = ['hf:org/tales', `file:${folder}/store/tales`, '--share', '2', '--no-quality'];
    const child = spawn('sh', ['-c', foldScript, ...args], {
      cwd: root,
      detached: true,
      env: { ...process.env, FOLDGATE_CACHE: join(folder, 'volume'), HF_ENDPOINT: hub.url },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    return { child, exit: once(child, 'close'), stderr: text(child.stderr) };
  };

  const first = start();
  // Evicted as soon as a step of the fold is kept.
  const kept = async () => {
    const files = await readdir(join(folder, 'volume/folds'), { recursive: true }).catch(() => []);
    return files.some((path) => path.endsWith('/state.json'));
  };
  await expect.poll(kept, { interval: 2, timeout: 120_000 }).toBe(true);
  process.kill(-first.child.pid!, 'SIGKILL');
  await first.exit;
  const pulled = hub.requests.length;

  const second = start();
  const [code] = await second.exit;
  const said = await second.stderr;
  expect(code, said).toBe(0);
  expect(said).toContain('Took up an interrupted fold');
  expect(await readdir(join(folder, 'store/models'))).toEqual(['tales']);
  // The checkpoint was there: its listing is asked for, no file again.
  const again = hub.requests.slice(pulled).filter(({ path }) => path.includes('safetensors'));
  expect(again).toEqual([]);
});
