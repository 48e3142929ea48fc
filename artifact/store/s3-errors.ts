import { FoldgateError, InvalidDataError, NotFoundError, UsageError } from '../errors.ts';

interface S3Error extends Error {
  code?: string;
  syscall?: string;
  $metadata?: { httpStatusCode?: number };
}

/** What the local disk answers, when a file to send or to receive into fails in the midst of a request. */
const fileErrors = new Set(
  'ENOENT ENOSPC EDQUOT EACCES EPERM EROFS EISDIR ENOTDIR EFBIG EIO EMFILE ENFILE'.split(' '),
);

/** Sockets share some codes with files, but they fail in calls of their own. */
function isFileError({ code, syscall }: S3Error): boolean {
  return fileErrors.has(code ?? '') && syscall !== 'connect' && syscall !== 'getaddrinfo';
}

function statusOf(error: unknown): number | undefined {
  return (error as S3Error | undefined)?.$metadata?.httpStatusCode;
}

export function nameOf(error: unknown): string | undefined {
  return (error as S3Error | undefined)?.name;
}

/** The object that the condition was about is there already, or is not the one that was pinned. */
export function isPreconditionFailed(error: unknown): boolean {
  return statusOf(error) === 412;
}

/** Two conditional writes met; the server asks to try again. */
export function isConflict(error: unknown): boolean {
  return statusOf(error) === 409 && nameOf(error) === 'ConditionalRequestConflict';
}

/** The server lacks the operation or the condition. */
export function isUnsupported(error: unknown): boolean {
  return statusOf(error) === 501 || nameOf(error) === 'NotImplemented';
}

export function isMissingObject(error: unknown): boolean {
  return statusOf(error) === 404 && nameOf(error) !== 'NoSuchBucket' && nameOf(error) !== 'NoSuchUpload';
}

/**
 * What an error of the S3 client means for the user. `where` names the object or the store.
 * @throws the signal's reason where the call was aborted, else always a FoldgateError.
 */
export function explain(error: unknown, where: string, signal?: AbortSignal): never {
  signal?.throwIfAborted();
  if (error instanceof FoldgateError || nameOf(error) === 'AbortError') throw error;
  const { name, code } = error as S3Error;
  const cause = { cause: error };
  const status = statusOf(error);
  if (name === 'NoSuchBucket') {
    throw new NotFoundError(`${where}: there is no such bucket. Make it first, or correct the URL.`, cause);
  }
  if (isMissingObject(error)) throw new NotFoundError(`There is no ${where}.`, cause);
  if (name === 'InvalidRange' || status === 416) {
    throw new InvalidDataError(`${where} is shorter than expected.`, cause);
  }
  if (name === 'CredentialsProviderError' || name === 'TokenProviderError') {
    throw new UsageError(
      `${where}: no AWS credentials were found. Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE.`,
      cause,
    );
  }
  if (status === 401 || status === 403) {
    throw new FoldgateError(
      `${where}: the server refused (${name}). Check the credentials and their rights: s3:GetObject and ` +
        's3:ListBucket to read (without the latter, S3 answers 403 for objects that are not there), ' +
        's3:PutObject, s3:DeleteObject and s3:AbortMultipartUpload to write.',
      cause,
    );
  }
  if (status === 301) {
    throw new FoldgateError(`${where}: the bucket is in another region. Set AWS_REGION to it.`, cause);
  }
  if (status !== undefined)
    throw new FoldgateError(`${where}: the server answered ${status} ${name}.`, cause);
  if (isFileError(error as S3Error)) {
    throw new FoldgateError(
      `${where}: a file on this machine failed, not the server (${(error as Error).message}). ` +
        'Check the local disk: its free space, and the rights to its folders.',
      cause,
    );
  }
  if (code === 'ENOTFOUND') {
    throw new FoldgateError(
      `${where}: the server's name cannot be resolved. Check the endpoint; servers that want the bucket in ` +
        'the path need ?pathStyle=true or FOLDGATE_S3_PATH_STYLE=true.',
      cause,
    );
  }
  throw new FoldgateError(`${where}: the server could not be reached.`, cause);
}
