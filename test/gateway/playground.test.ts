import { get } from 'node:http';
import { text as readAll } from 'node:stream/consumers';
import { describe, expect, it } from 'vitest';
import { startGateway } from '../fixtures/gateway.ts';

const start = () => startGateway(() => () => []);

describe('GET /', () => {
  it('is a page whose every part is here', async () => {
    const { server } = await start();
    const answer = await fetch(`${server.url}/`);
    expect(answer.headers.get('content-type')).toBe('text/html; charset=utf-8');
    const { parts, foreign } = await partsOf(await answer.text(), server.url);
    expect(parts.length).toBeGreaterThan(15);
    for (const part of parts) {
      const { status, headers } = await fetch(`${server.url}/playground/${part}`);
      expect({ part, status }).toEqual({ part, status: 200 });
      expect(headers.get('content-type')).toMatch(part.endsWith('.js') ? /^text\/javascript/ : /css|svg/);
      expect(headers.get('x-content-type-options')).toBe('nosniff');
    }
    expect(foreign).toEqual([]);
  });

  it('allows itself its own files and this server, and nothing inline', async () => {
    const { server } = await start();
    const { headers } = await fetch(`${server.url}/`);
    const policy = new Map(
      headers
        .get('content-security-policy')!
        .split('; ')
        .map((part) => [part.split(' ')[0]!, part.split(' ').slice(1).join(' ')]),
    );
    expect(policy.get('default-src')).toBe("'none'");
    for (const [directive, value] of policy) {
      expect({ directive, value }).toEqual({
        directive,
        value: expect.stringMatching(/^'(self|none|script)'$/),
      });
    }
  });

  it('is sent again only where it changed', async () => {
    const { server } = await start();
    const first = await fetch(`${server.url}/`);
    const again = await fetch(`${server.url}/`, { headers: { 'if-none-match': first.headers.get('etag')! } });
    expect([again.status, await again.text()]).toEqual([304, '']);
  });
});

describe('GET /playground/{file}', () => {
  it.each([
    'tsconfig.json',
    'none.js',
    'page.html',
    '..%2fplayground.ts',
    '..%2f..%2fapp.ts',
    '%2e%2e/playground.ts',
    '../playground.ts',
  ])('has no %s', async (file) => {
    const { server } = await start();
    expect(await statusOf(`${server.url}/playground/`, file)).toBe(404);
  });
});

/** Whatever the page and its scripts name, and theirs, and what is named of other places. */
async function partsOf(page: string, url: string): Promise<{ parts: string[]; foreign: string[] }> {
  const parts = new Set([...page.matchAll(/"playground\/([^"]+)"/g)].map((match) => match[1]!));
  const foreign = [...page.matchAll(/https?:\/\/[^\s"']+/g)].map((match) => match[0]);
  for (const part of parts) {
    const text = await (await fetch(`${url}/playground/${part}`)).text();
    for (const [, imported] of text.matchAll(/from '\.\/([^']+)'/g)) parts.add(imported!);
    foreign.push(
      ...[...text.matchAll(/https?:\/\/(?!www\.w3\.org\/2000\/svg)[^\s"']+/g)].map((match) => match[0]),
    );
  }
  return { parts: [...parts], foreign };
}

/** `fetch` would resolve the dots itself. */
async function statusOf(base: string, path: string): Promise<number> {
  const { hostname, port, pathname } = new URL(base);
  return await new Promise((resolve, reject) => {
    get({ hostname, port, path: pathname + path }, (answer) => {
      void readAll(answer).then(() => resolve(answer.statusCode!));
    }).on('error', reject);
  });
}
