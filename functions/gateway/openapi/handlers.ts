import type { Context } from 'hono';
import type { Route } from '../route.ts';
import { openApiDocument } from './document.ts';
import { page } from './page.ts';

/** GET /openapi.json. */
export function openApi(routes: () => readonly Route[]) {
  const document = once(() => openApiDocument(routes()));
  return (c: Context) => c.json(document());
}

/** Nothing is loaded from elsewhere, and nothing is sent there. */
const contentPolicy =
  "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; base-uri 'none'";

/** GET /docs. */
export function docsPage(routes: () => readonly Route[]) {
  const text = once(() => page(openApiDocument(routes())));
  return async (c: Context) => {
    c.header('content-security-policy', contentPolicy);
    return c.html(await text());
  };
}

/** Few servers are ever asked; those that are should not make it twice. */
function once<T>(make: () => T): () => T {
  let made: T | undefined;
  return () => {
    made ??= make();
    return made;
  };
}
