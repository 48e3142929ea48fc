/**
 * The errors Foldgate throws on purpose. Each message says what was expected, what came and what to do.
 * The command line maps them to exit codes, the gateway to OpenAI's error shape, each in one place.
 */
export class FoldgateError extends Error {
  override name = 'FoldgateError';
}

/** The caller asked for something that makes no sense: a bad flag, URL or plan. Exit code 2. */
export class UsageError extends FoldgateError {
  override name = 'UsageError';
}

/** A file from outside (checkpoint, manifest, blob) is not what it claims to be. */
export class InvalidDataError extends FoldgateError {
  override name = 'InvalidDataError';
}

/** What was asked for does not exist: an object, a model name, a file. */
export class NotFoundError extends FoldgateError {
  override name = 'NotFoundError';
}

/** What is asked for, or undefined where it does not exist: as what was removed since it was listed. */
export async function ifThere<T>(asked: Promise<T>): Promise<T | undefined> {
  try {
    return await asked;
  } catch (error) {
    if (error instanceof NotFoundError) return undefined;
    throw error;
  }
}
