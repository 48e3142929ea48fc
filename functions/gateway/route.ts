import type { Context } from 'hono';
import type { z } from 'zod';

/** One address of the HTTP interface: how it is answered, and what its documentation says. */
export interface Route {
  method: 'GET' | 'POST';
  /** Hono's notation: `/v1/models/:id`. */
  path: string;
  /** One line for the documentation. */
  summary: string;
  /** What a request's JSON body has to be; the same schema that the handler checks it by. */
  body?: z.ZodType;
  /** Answers without an API key. */
  open?: true;
  handler: (c: Context) => Response | Promise<Response>;
}

/** The methods that each path takes, as the `allow` header names them. */
export function allowedMethods(routes: readonly Route[]): Map<string, string> {
  const allowed = new Map<string, string>();
  for (const { path, method } of routes) {
    const others = allowed.get(path);
    allowed.set(path, others === undefined ? method : `${others}, ${method}`);
  }
  return allowed;
}
