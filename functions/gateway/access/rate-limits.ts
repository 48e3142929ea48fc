import { ApiError } from '../errors.ts';
import type { Caller } from './caller.ts';

/** Seconds over which requests and tokens are counted. */
export const windowSeconds = 60;

/** Counts things by key in windows of a minute that begin with the first of them. */
export interface RateCounter {
  /** @param count below 0 takes back @returns all of this window, and milliseconds until it ends */
  add(key: string, count: number): Promise<{ counted: number; resetMs: number }>;
}

export interface RateLimitsOptions {
  requests: RateCounter;
  tokens: RateCounter;
  /** For callers that have no limit of their own. @default none */
  requestsPerMinute?: number | undefined;
  tokensPerMinute?: number | undefined;
}

/** What a caller may do, in the headers that OpenAI's clients know. */
export type LimitHeaders = Record<string, string>;

/** Limits of requests and tokens per minute, each caller's own. */
export class RateLimits {
  readonly #options: RateLimitsOptions;

  constructor(options: RateLimitsOptions) {
    this.#options = options;
  }

  /** Counts a request. @throws ApiError 429 where it is one too many. */
  async takeRequest(caller: Caller): Promise<LimitHeaders> {
    const limit = caller.requestsPerMinute ?? this.#options.requestsPerMinute;
    if (limit === undefined) return {};
    const { counted, resetMs } = await this.#options.requests.add(caller.name, 1);
    const headers = headersOf('requests', limit, counted, resetMs);
    if (counted > limit) throw exceeded('requests', limit, resetMs, headers);
    return headers;
  }

  /**
   * Counts a prompt's tokens before they are run.
   * @throws ApiError 429 where they are too many; then they do not count.
   */
  async takeTokens(caller: Caller, tokens: number): Promise<LimitHeaders> {
    const limit = caller.tokensPerMinute ?? this.#options.tokensPerMinute;
    if (limit === undefined) return {};
    const { counted, resetMs } = await this.#options.tokens.add(caller.name, tokens);
    if (counted <= limit) return headersOf('tokens', limit, counted, resetMs);
    await this.#options.tokens.add(caller.name, -tokens);
    throw exceeded('tokens', limit, resetMs, headersOf('tokens', limit, counted - tokens, resetMs), tokens);
  }

  /** Counts tokens that were made: what runs is not stopped, the next request is. */
  async noteTokens(caller: Caller, tokens: number): Promise<void> {
    const limit = caller.tokensPerMinute ?? this.#options.tokensPerMinute;
    if (limit !== undefined && tokens > 0) await this.#options.tokens.add(caller.name, tokens);
  }
}

type Kind = 'requests' | 'tokens';

function headersOf(kind: Kind, limit: number, counted: number, resetMs: number): LimitHeaders {
  return {
    [`x-ratelimit-limit-${kind}`]: String(limit),
    [`x-ratelimit-remaining-${kind}`]: String(Math.max(0, limit - counted)),
    [`x-ratelimit-reset-${kind}`]: `${(resetMs / 1000).toFixed(3)}s`,
  };
}

function exceeded(
  kind: Kind,
  limit: number,
  resetMs: number,
  headers: LimitHeaders,
  asked?: number,
): ApiError {
  const seconds = Math.max(1, Math.ceil(resetMs / 1000));
  const tooLarge = asked !== undefined && asked > limit;
  const advice = tooLarge ? `This prompt alone has ${asked}. Shorten it.` : `Try again in ${seconds} s.`;
  return new ApiError(429, `This key may use ${limit} ${kind} a minute, and has. ${advice}`, {
    type: kind,
    code: 'rate_limit_exceeded',
    headers: { ...headers, 'retry-after': String(seconds) },
  });
}
