import type { Context, MiddlewareHandler } from 'hono';
import { ApiError } from '../errors.ts';
import type { ApiKeys } from './api-keys.ts';
import { type Caller, callerOf, setCaller } from './caller.ts';
import type { RateLimits } from './rate-limits.ts';

/** Lets requests in that have one of the keys, in `Authorization: Bearer` or, as Anthropic's clients, `x-api-key`. */
export function authenticate(keys: ApiKeys): MiddlewareHandler {
  return async (c, next) => {
    setCaller(c, requireCaller(c, keys));
    await next();
  };
}

/** Counts requests, and says in each answer what is left. */
export function limitRequests(limits: RateLimits): MiddlewareHandler {
  return async (c, next) => {
    const headers = await limits.takeRequest(callerOf(c));
    for (const [name, value] of Object.entries(headers)) c.header(name, value);
    await next();
  };
}

/** @throws ApiError 401 */
function requireCaller(c: Context, keys: ApiKeys): Caller {
  const [scheme, token] = c.req.header('authorization')?.split(' ') ?? [];
  const key = scheme?.toLowerCase() === 'bearer' ? token : c.req.header('x-api-key');
  const headers = { 'www-authenticate': 'Bearer' };
  if (!key) {
    const message = 'This server asks for an API key: send "Authorization: Bearer KEY".';
    throw new ApiError(401, message, { code: 'missing_api_key', headers });
  }
  const caller = keys.find(key);
  if (caller) return caller;
  throw new ApiError(401, 'The API key is not known here.', { code: 'invalid_api_key', headers });
}
