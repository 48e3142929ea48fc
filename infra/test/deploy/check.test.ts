import { execFile } from 'node:child_process';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it, onTestFinished } from 'vitest';
import { openStore } from '../../../artifact/store/open.ts';
import { ApiKeys, hashKey } from '../../../functions/gateway/access/api-keys.ts';
import { serve } from '../../../functions/gateway/serve.ts';
import { StoredModels } from '../../../functions/gateway/stored-models.ts';
import { storedPico } from '../../../test/fixtures/served-pico.ts';

const run = promisify(execFile);
const command = join(import.meta.dirname, '../../commands/deploy-check.ts');

/** What the command prints, line by line, and its exit code. */
async function check(url: string, ...args: string[]): Promise<{ code: number; lines: string[] }> {
  const all = [command, '--model', 'pico', '--url', url, ...args];
  const { code = 0, stdout } = await run(process.execPath, all).catch((error) => error);
  return { code, lines: stdout.trim().split('\n') };
}

async function server(keys?: ApiKeys): Promise<string> {
  const { storeUrl } = await storedPico('llama');
  const models = await StoredModels.open(await openStore(storeUrl), { load: { contextLength: 256 } });
  const running = await serve(models, { port: 0, host: '127.0.0.1', keys });
  onTestFinished(() => running.close(0));
  return `${running.url}/v1`;
}

/** A proxy that sends an answer on when it has all of it. */
async function buffering(target: string): Promise<string> {
  const proxy = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    const { host: _, connection: __, ...headers } = request.headers as Record<string, string>;
    const answer = await fetch(target.replace(/\/v1$/, '') + request.url, {
      method: request.method!,
      headers,
      ...(chunks.length > 0 && { body: Buffer.concat(chunks) }),
    });
    response.writeHead(answer.status).end(Buffer.from(await answer.arrayBuffer()));
  });
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => void proxy.close());
  return `http://127.0.0.1:${(proxy.address() as AddressInfo).port}/v1`;
}

describe('deploy:check', () => {
  const keys = () => new ApiKeys([{ name: 'me', hash: hashKey('fg-mine') }]);

  it('passes a deployment that is well', async () => {
    const { code, lines } = await check(await server(keys()), '--key', 'fg-mine');
    expect(lines.filter((line) => !line.startsWith('ok'))).toEqual([]);
    expect(lines).toHaveLength(7);
    expect(code).toBe(0);
  });

  it('finds one that lets anybody in', async () => {
    const { code, lines } = await check(await server(), '--key', 'fg-mine');
    expect(lines[0]).toMatch(/^FAIL {2}asks for a key: 200 came from .*, 401 was expected/);
    expect(code).toBe(1);
  });

  it('finds what buffers streams on the way', async () => {
    const { code, lines } = await check(await buffering(await server(keys())), '--key', 'fg-mine');
    expect(lines.find((line) => line.includes('streams as it goes'))).toMatch(
      /^FAIL.*something on the way buffers/,
    );
    expect(code).toBe(1);
  });

  it('finds one that is not there', async () => {
    const { code, lines } = await check('http://127.0.0.1:9/v1', '--key', 'fg-mine');
    expect(lines.every((line) => line.startsWith('FAIL'))).toBe(true);
    expect(code).toBe(1);
  });
});
