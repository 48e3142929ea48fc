import { readFile } from 'node:fs/promises';
import { extname } from 'node:path';
import type { Context } from 'hono';
import { sha256 } from '../../../artifact/store/digest.ts';
import { ApiError } from '../errors.ts';

/** The page as its files are; browsers run them unchanged. A bundle has them in a folder of this name beside it. */
const folder = new URL('page/', import.meta.url);

/** What the page consists of, by its ending. Nothing else is ever read. */
const mediaTypes: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.svg': 'image/svg+xml',
};
const fileName = /^[a-z0-9]+(-[a-z0-9]+)*\.(css|js|svg)$/;

const headers = {
  // Its own files and this server, and no text ever becomes markup or code.
  'content-security-policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; " +
    "require-trusted-types-for 'script'; trusted-types 'none'",
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  // Asked for anew each time, and sent only where it changed: a page of two versions would not work.
  'cache-control': 'no-cache',
};

interface PageFile {
  bytes: Uint8Array<ArrayBuffer>;
  etag: string;
}

const files = new Map<string, Promise<PageFile>>();

/** GET /: a page to try the models with. */
export function playgroundPage(c: Context): Promise<Response> {
  return send(c, 'page.html');
}

/** GET /playground/{file}: its styles, scripts and pictures. @throws ApiError 404 for what is no part of it */
export async function playgroundFile(c: Context): Promise<Response> {
  const name = c.req.param('file') ?? '';
  if (!fileName.test(name)) throw noSuchFile(c);
  return await send(c, name);
}

async function send(c: Context, name: string): Promise<Response> {
  const { bytes, etag } = await fileOf(c, name);
  const common = { ...headers, etag };
  if (c.req.header('if-none-match') === etag) return c.body(null, 304, common);
  return c.body(bytes, 200, { ...common, 'content-type': mediaTypes[extname(name)]! });
}

async function fileOf(c: Context, name: string): Promise<PageFile> {
  const known = files.get(name);
  if (known) return await known;
  try {
    const bytes = new Uint8Array(await readFile(new URL(name, folder)));
    const file = { bytes, etag: `"${sha256(bytes).slice(0, 16)}"` };
    files.set(name, Promise.resolve(file));
    return file;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') throw noSuchFile(c);
    throw error;
  }
}

function noSuchFile(c: Context): ApiError {
  const message = `There is no ${c.req.method} ${c.req.path} here.`;
  return new ApiError(404, message, { code: 'unknown_url' });
}
