import { HTTPException } from 'hono/http-exception';
import { z } from 'zod';
import { FoldgateError } from '../../artifact/errors.ts';
import { EngineError } from '../engine/engine.ts';
import { PromptError } from '../model/prompt-error.ts';

/** OpenAI's error shape, the body of every answer that is no success. */
export interface ErrorBody {
  error: { message: string; type: string; param: string | null; code: string | null };
}

type Status = 400 | 401 | 404 | 405 | 413 | 429 | 500 | 503 | 504;

interface ApiErrorDetails {
  /** The field of the request that is at fault. */
  param?: string;
  code?: string;
  /** @default by the status */
  type?: string;
  headers?: Readonly<Record<string, string>>;
  cause?: unknown;
}

/** An answer other than success, ready to be sent. */
export class ApiError extends FoldgateError {
  override name = 'ApiError';
  readonly status: Status;
  readonly param: string | null;
  readonly code: string | null;
  readonly type: string;
  /** That go with the answer. */
  readonly headers: Readonly<Record<string, string>>;

  constructor(status: Status, message: string, details: ApiErrorDetails = {}) {
    super(message, { cause: details.cause });
    this.status = status;
    this.param = details.param ?? null;
    this.code = details.code ?? null;
    this.type = details.type ?? (status >= 500 ? 'server_error' : 'invalid_request_error');
    this.headers = details.headers ?? {};
  }

  get body(): ErrorBody {
    return { error: { message: this.message, type: this.type, param: this.param, code: this.code } };
  }
}

/** The model is not there yet, or no longer: the request may be sent again later. */
export class ModelUnavailableError extends FoldgateError {
  override name = 'ModelUnavailableError';
}

/** A request's time is up. */
export class DeadlineError extends FoldgateError {
  override name = 'DeadlineError';
  constructor() {
    super(
      "The answer was not finished within the server's limit of time. Ask for fewer tokens (max_tokens).",
    );
  }
}

/** The one place where errors become HTTP. Unforeseen ones say nothing of the inside; the log has them. */
export function toApiError(error: unknown): ApiError {
  if (error instanceof ApiError) return error;
  if (error instanceof z.ZodError) return fromIssue(error);
  if (error instanceof PromptError) return fromPrompt(error);
  if (error instanceof ModelUnavailableError) {
    return new ApiError(503, error.message, { code: 'model_unavailable', cause: error });
  }
  if (error instanceof DeadlineError) {
    return new ApiError(504, error.message, { code: 'deadline_exceeded', cause: error });
  }
  if (error instanceof EngineError) {
    return new ApiError(500, `${error.message} Send the request again.`, {
      code: 'engine_error',
      cause: error,
    });
  }
  if (error instanceof HTTPException && error.status === 413) return tooLarge();
  return new ApiError(500, 'The server failed on this request.', { code: 'internal_error', cause: error });
}

/** Seconds after which a place in the queue may be free: about what a short answer takes. */
const queueRetrySeconds = 1;

/** More at once than the queue holds: the sender, or a load balancer, may try elsewhere or later. */
export function overloaded(completions: number): ApiError {
  return new ApiError(429, `The model has ${completions} completions to make already. Try again later.`, {
    type: 'requests',
    code: 'overloaded',
    headers: { 'retry-after': String(queueRetrySeconds) },
  });
}

/** @param tokens of the longest prompt */
export function promptTooLong(tokens: number, limit: number): ApiError {
  const message = `The prompt has ${tokens} tokens; this server takes up to ${limit}. Shorten it.`;
  return new ApiError(400, message, { code: 'prompt_too_long' });
}

export function tooLarge(limitBytes?: number): ApiError {
  const limit =
    limitBytes === undefined ? 'what this server takes' : `the ${limitBytes} bytes this server takes`;
  return new ApiError(413, `The request body is larger than ${limit}.`, { code: 'request_too_large' });
}

function fromPrompt(cause: PromptError): ApiError {
  const { message, param, problem: code } = cause;
  const hint = code === 'chat_not_supported' ? ' Use POST /v1/completions.' : '';
  return new ApiError(400, message + hint, { param, code, cause });
}

/** zod's own words for a value that is none of several kinds. */
const unionMessage = 'Invalid input';

/** Of a value that is none of several kinds, what is wrong with the nearest; unless the schema has words for it. */
function innermost(issue: z.core.$ZodIssue): z.core.$ZodIssue {
  if (issue.code !== 'invalid_union' || issue.message !== unionMessage) return issue;
  const nested = issue.errors.flatMap(([first]) => first ?? []).filter(({ path }) => path.length > 0);
  const deepest = nested.sort((a, b) => b.path.length - a.path.length)[0];
  return deepest ? innermost({ ...deepest, path: [...issue.path, ...deepest.path] }) : issue;
}

/** The first wrong field, by its path as OpenAI writes it: `messages[0].content`. */
function fromIssue(error: z.ZodError): ApiError {
  const issue = error.issues[0] && innermost(error.issues[0]);
  if (!issue) return new ApiError(400, 'The request is not valid.');
  const param = issue.path.reduce<string>(
    (path, part) =>
      typeof part === 'number' ? `${path}[${part}]` : path ? `${path}.${String(part)}` : String(part),
    '',
  );
  const code = issue.code === 'custom' && issue.params?.code ? String(issue.params.code) : 'invalid_value';
  return new ApiError(400, param ? `${param}: ${issue.message}` : issue.message, {
    ...(param && { param }),
    code,
  });
}
