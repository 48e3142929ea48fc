/**
 * Uses a resource and frees it, whatever happens: the `using` declaration for Node 22, which cannot parse it.
 */
export async function withResource<R extends Disposable | AsyncDisposable, T>(
  resource: R,
  use: (resource: R) => T | Promise<T>,
): Promise<T> {
  try {
    return await use(resource);
  } finally {
    if (Symbol.asyncDispose in resource) await resource[Symbol.asyncDispose]();
    else resource[Symbol.dispose]();
  }
}
