import type { ApiError } from '../errors.ts';

/** Anthropic's names for what went wrong, by status. */
const types: Readonly<Record<number, string>> = {
  401: 'authentication_error',
  403: 'permission_error',
  404: 'not_found_error',
  413: 'request_too_large',
  429: 'rate_limit_error',
  503: 'overloaded_error',
};

/** Anthropic's error body. Its clients show the message alone; the field at fault is named in it. */
export function anthropicError({ status, message }: ApiError, requestId?: string): object {
  const type = types[status] ?? (status >= 500 ? 'api_error' : 'invalid_request_error');
  return {
    type: 'error',
    error: { type, message },
    ...(requestId !== undefined && { request_id: requestId }),
  };
}
