import { basename, dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { UsageError } from '../errors.ts';
import { checkModelName } from '../models/layout.ts';

const accepted =
  'Expected file:PATH (file:./models, file:/srv/models), a plain path, or s3://BUCKET/PREFIX' +
  ' (with ?pathStyle=true for servers that want the bucket in the path).';

export type StoreLocation =
  | { kind: 'file'; folder: string }
  | { kind: 's3'; bucket: string; prefix: string; pathStyle: boolean | undefined };

/**
 * Splits a model's URL: the last part is the model's name, the rest the store's root.
 * @example parseModelUrl('s3://bucket/team/tiny') // { storeUrl: 's3://bucket/team', name: 'tiny' }
 * @throws UsageError
 */
export function parseModelUrl(url: string): { storeUrl: string; name: string } {
  const location = parseStoreUrl(url);
  if (location.kind === 'file') {
    const name = basename(location.folder);
    if (name === '.' || name === '..' || name === '') throw noName(url);
    checkModelName(name, url);
    return { storeUrl: formatStoreUrl({ kind: 'file', folder: dirname(location.folder) }), name };
  }
  const parts = location.prefix.split('/').filter((part) => part !== '');
  const name = parts.pop();
  if (name === undefined) throw noName(url);
  checkModelName(name, url);
  return { storeUrl: formatStoreUrl({ ...location, prefix: parts.join('/') }), name };
}

/** @throws UsageError */
export function parseStoreUrl(url: string): StoreLocation {
  const scheme = /^([a-z][a-z0-9+.-]+):/i.exec(url)?.[1]?.toLowerCase();
  if (url.trim() === '') throw new UsageError(`A store's URL is empty. ${accepted}`);
  if (scheme === undefined) return { kind: 'file', folder: withoutSlash(url) };
  if (scheme === 'file') return { kind: 'file', folder: withoutSlash(filePath(url)) };
  if (scheme === 's3') return parseS3(url);
  throw new UsageError(`No store is at ${JSON.stringify(url)}: ${scheme}: is not known. ${accepted}`);
}

export function formatStoreUrl(location: StoreLocation): string {
  if (location.kind === 'file') return `file:${location.folder}`;
  const query = location.pathStyle === undefined ? '' : `?pathStyle=${location.pathStyle}`;
  return `s3://${location.bucket}${location.prefix === '' ? '' : `/${location.prefix}`}${query}`;
}

function filePath(url: string): string {
  const rest = url.slice('file:'.length);
  if (rest === '') throw new UsageError(`${url} names no folder. ${accepted}`);
  if (!rest.startsWith('//')) return rest;
  try {
    return fileURLToPath(url);
  } catch (cause) {
    throw new UsageError(`${url} is no file URL on this machine. ${accepted}`, { cause });
  }
}

function parseS3(url: string): StoreLocation {
  const match = /^s3:\/\/([a-z0-9][a-z0-9._-]{1,62})(\/[^?#]*)?(?:\?([^#]*))?$/i.exec(url);
  if (match?.[1] === undefined) throw new UsageError(`${url} is no S3 URL. ${accepted}`);
  const parts = (match[2] ?? '').split('/').filter((part) => part !== '');
  return {
    kind: 's3',
    bucket: match[1],
    prefix: parts.join('/'),
    pathStyle: pathStyleOf(url, match[3] ?? ''),
  };
}

function pathStyleOf(url: string, query: string): boolean | undefined {
  let pathStyle: boolean | undefined;
  for (const [key, value] of new URLSearchParams(query)) {
    if (key !== 'pathStyle' || (value !== 'true' && value !== 'false')) {
      throw new UsageError(
        `${url}: ${key}=${value} is not known. Expected pathStyle=true or pathStyle=false.`,
      );
    }
    pathStyle = value === 'true';
  }
  return pathStyle;
}

function withoutSlash(path: string): string {
  return path.length > 1 ? path.replace(/\/+$/, '') || '/' : path;
}

function noName(url: string): UsageError {
  return new UsageError(`${url} names no model. Expected the model's name as the last part: STORE/NAME.`);
}
