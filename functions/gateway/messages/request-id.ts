import type { Context, Next } from 'hono';

/** Anthropic's clients look for the request's id under a name of their own. */
export async function anthropicRequestId(c: Context, next: Next): Promise<void> {
  c.header('request-id', c.get('requestId'));
  await next();
}
