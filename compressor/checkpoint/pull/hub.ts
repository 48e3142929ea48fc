import { downloadFile, HubApiError, listFiles } from '@huggingface/hub';
import { FoldgateError, NotFoundError, UsageError } from '../../../artifact/errors.ts';
import type { PullSpec } from './spec.ts';

/** A file as the hub lists it. */
export interface HubFile {
  path: string;
  bytes: number;
  /** What its content hashes to: sha256 of large files, git's blob hash (sha1) of others. */
  digest: { algorithm: 'sha256' | 'git-sha1'; hex: string };
}

/** The hub's client, for one repository at one revision. */
export interface Hub {
  list(): Promise<HubFile[]>;
  /** The file's bytes from `start` on. */
  stream(path: string, start: number): Promise<AsyncIterable<Uint8Array>>;
}

/** Whether trying again may help: the network, or a server that is overloaded. */
export class TransientHubError extends FoldgateError {
  override name = 'TransientHubError';
}

/**
 * Reads HF_TOKEN (for private and gated models) and HF_ENDPOINT (a mirror).
 * @throws UsageError where one of them is malformed
 */
export function connectHub(spec: PullSpec, signal: AbortSignal | undefined): Hub {
  const accessToken = process.env.HF_TOKEN || undefined;
  if (accessToken !== undefined && !accessToken.startsWith('hf_')) {
    throw new UsageError('HF_TOKEN must be an access token of the hub, which begins with hf_.');
  }
  const repository = `${spec.organization}/${spec.name}`;
  const params = {
    repo: { type: 'model' as const, name: repository },
    revision: spec.revision,
    ...(accessToken !== undefined && { accessToken }),
    ...endpoint(),
    fetch: fetchWith(signal),
  };
  return {
    list: () =>
      explained(spec, signal, async () => {
        const files: HubFile[] = [];
        for await (const { type, path, size, oid, lfs } of listFiles({ ...params, recursive: true })) {
          if (type !== 'file') continue;
          const digest = lfs
            ? { algorithm: 'sha256' as const, hex: lfs.oid }
            : { algorithm: 'git-sha1' as const, hex: oid ?? '' };
          files.push({ path, bytes: lfs?.size ?? size, digest });
        }
        return files;
      }),
    stream: (path, start) =>
      explained(spec, signal, async () => {
        // Plain HTTP instead of the hub's chunk protocol: a range of it can be asked for again.
        const blob = await downloadFile({ ...params, path, xet: false });
        if (!blob) throw new NotFoundError(`${repository} has no file ${path} any more. Pull it again.`);
        return explainedStream(spec, signal, (start === 0 ? blob : blob.slice(start)).stream());
      }),
  };
}

function endpoint(): { hubUrl?: string } {
  const url = process.env.HF_ENDPOINT;
  if (!url) return {};
  if (!/^https?:\/\//.test(url) || !URL.canParse(url)) {
    throw new UsageError(
      `HF_ENDPOINT is ${JSON.stringify(url)}. Expected the http or https address of a hub.`,
    );
  }
  return { hubUrl: url.replace(/\/+$/, '') };
}

/** Stops on the signal, and takes no whole file for the part that was asked for. */
function fetchWith(signal: AbortSignal | undefined): typeof fetch {
  return async (input, init) => {
    const response = await fetch(input, { ...init, ...(signal && { signal }) });
    const range = new Headers(init?.headers).get('range');
    if (range !== null && response.status === 200) {
      await response.body?.cancel();
      throw new FoldgateError(
        `${response.url} answers a range request with the whole file. Set HF_ENDPOINT to a hub that serves ranges.`,
      );
    }
    return response;
  };
}

async function* explainedStream(
  spec: PullSpec,
  signal: AbortSignal | undefined,
  stream: ReadableStream<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  const reader = stream.getReader();
  try {
    while (true) {
      const { done, value } = await explained(spec, signal, () => reader.read());
      if (done) return;
      yield value;
    }
  } finally {
    await reader.cancel().catch(() => {}); // of a stream that failed
  }
}

async function explained<Result>(
  spec: PullSpec,
  signal: AbortSignal | undefined,
  work: () => Promise<Result>,
): Promise<Result> {
  try {
    return await work();
  } catch (cause) {
    signal?.throwIfAborted();
    throw explain(spec, cause);
  }
}

function explain({ organization, name, revision }: PullSpec, cause: unknown): unknown {
  if (cause instanceof FoldgateError) return cause;
  const what = `${organization}/${name} at ${revision}`;
  if (!(cause instanceof HubApiError)) {
    return new TransientHubError(
      `The connection to the hub failed while fetching ${what}. Run it again: what is there is kept.`,
      { cause },
    );
  }
  switch (cause.statusCode) {
    case 401:
    case 403:
      return new NotFoundError(
        `The hub gives no access to ${what}. Check the name; for a private or gated model, ` +
          'accept its terms on its page and set HF_TOKEN to a token that may read it.',
        { cause },
      );
    case 404:
      return new NotFoundError(`The hub has no ${what}. Check the name and the revision.`, { cause });
    default: {
      const busy = cause.statusCode === 429 || cause.statusCode >= 500;
      const message = `The hub answered ${cause.statusCode} for ${what}.`;
      return busy
        ? new TransientHubError(`${message} Run it again later.`, { cause })
        : new FoldgateError(message, { cause });
    }
  }
}
