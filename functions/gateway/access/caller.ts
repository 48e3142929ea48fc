import type { Context } from 'hono';

/** Who sent a request, as its API key tells. */
export interface Caller {
  /** The key's name; of a server without keys, everybody's. */
  readonly name: string;
  /** Instead of the server's limit. */
  readonly requestsPerMinute?: number | undefined;
  readonly tokensPerMinute?: number | undefined;
}

/** All callers of a server that asks for no key. */
const anyone: Caller = { name: '' };

const variable = 'caller';

export function setCaller(c: Context, caller: Caller): void {
  c.set(variable, caller);
}

export function callerOf(c: Context): Caller {
  return (c.get(variable) as Caller | undefined) ?? anyone;
}
