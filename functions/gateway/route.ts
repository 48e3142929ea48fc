import type { Context } from 'hono';
import type { z } from 'zod';

/** One address of the HTTP interface: how it is answered, and what its documentation says. */
export interface Route {
  method: 'GET' | 'POST';
  /** Hono's notation: `/v1/models/:id`. */
  path: string;
  /** The documentation's heading above it. */
  tag: 'Text' | 'Tokens' | 'Models' | 'Server';
  /** One line for the documentation. */
  summary: string;
  /** What a request's JSON body has to be; the same schema that the handler checks it by. */
  body?: z.ZodType;
  /** Answers without an API key. */
  open?: true;
  /** Fields of a body that are known and not supported. @default none */
  refused?: readonly string[];
  /** What a success looks like: JSON of this form, or text of this media type. @default any JSON */
  answer?: z.ZodType | 'text/html' | 'text/plain';
  /** What anything but a success looks like. @default the path's errors */
  failure?: z.ZodType;
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
