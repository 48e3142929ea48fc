import { HTTPException } from 'hono/http-exception';
import { z } from 'zod';
import { FoldgateError } from '../../artifact/errors.ts';
import { EngineError } from '../engine/engine.ts';
import { PromptError } from '../model/prompt-error.ts';

/** OpenAI's error shape, the body of every answer that is no success. */
export interface ErrorBody {
  error: { message: string; type: string; param: string | null; code: string | null };
}

type Status = 400 | 404 | 405 | 413 | 500 | 503;

/** An answer other than success, ready to be sent. */
export class ApiError extends FoldgateError {
  override name = 'ApiError';
  readonly status: Status;
  readonly param: string | null;
  readonly code: string | null;

  constructor(
    status: Status,
    message: string,
    details: { param?: string; code?: string; cause?: unknown } = {},
  ) {
    super(message, { cause: details.cause });
    this.status = status;
    this.param = details.param ?? null;
    this.code = details.code ?? null;
  }

  get body(): ErrorBody {
    const type = this.status >= 500 ? 'server_error' : 'invalid_request_error';
    return { error: { message: this.message, type, param: this.param, code: this.code } };
  }
}

/** The model is not there yet, or no longer: the request may be sent again later. */
export class ModelUnavailableError extends FoldgateError {
  override name = 'ModelUnavailableError';
}

/** The one place where errors become HTTP. Unforeseen ones say nothing of the inside; the log has them. */
export function toApiError(error: unknown): ApiError {
  if (error instanceof ApiError) return error;
  if (error instanceof z.ZodError) return fromIssue(error);
  if (error instanceof PromptError) return fromPrompt(error);
  if (error instanceof ModelUnavailableError) {
    return new ApiError(503, error.message, { code: 'model_unavailable', cause: error });
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

/** More at once than the server holds: the sender, or a load balancer, may try elsewhere or later. */
export function overloaded(completions: number): ApiError {
  return new ApiError(503, `The server has ${completions} completions to make already. Try again later.`, {
    code: 'overloaded',
  });
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
