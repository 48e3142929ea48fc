import type { Context } from 'hono';
import type { ApiError } from './errors.ts';
import { anthropicError } from './messages/error.ts';

/** Sends an error in the shape that the path's clients know: Anthropic's on its paths, OpenAI's on all others. */
export function answerError(c: Context, error: ApiError): Response {
  const body = isAnthropic(c.req.path) ? anthropicError(error, c.get('requestId')) : error.body;
  for (const [name, value] of Object.entries(error.headers)) c.header(name, value);
  return c.json(body, error.status);
}

/** Whether a path is of Anthropic's API. */
export function isAnthropic(path: string): boolean {
  return /^\/v1\/messages(\/|$)/.test(path);
}
