import { stat } from 'node:fs/promises';
import type { CacheType } from '../../artifact/decoder/decoder-options.ts';
import { type PromptWeights, withPromptWeights } from '../../artifact/decoder/prompt-weights.ts';
import { NotFoundError, UsageError } from '../../artifact/errors.ts';
import type { LocalFoldedModel } from '../../artifact/models/open-local.ts';
import type { EvaluatedModel } from '../../compressor/evaluate/evaluated-model.ts';
import { withTransfer } from '../transfer.ts';

/** How a folded model runs. */
export interface FoldedFlags {
  kvCache?: CacheType | undefined;
  promptWeights?: PromptWeights | undefined;
}

/**
 * Opens a checkpoint, where there is something at that path, or else the folded model of that URL, and closes it.
 * @throws UsageError where it is a checkpoint, and how a folded model runs was said
 */
export async function withModel<T>(
  pathOrUrl: string,
  { signal, ...flags }: FoldedFlags & { signal: AbortSignal },
  use: (model: EvaluatedModel) => Promise<T>,
): Promise<T> {
  const isThere = await stat(pathOrUrl).then(
    () => true,
    () => false,
  );
  if (isThere && flags.kvCache !== undefined)
    throw new UsageError(
      `--kv-cache is for folded models; ${pathOrUrl} is a checkpoint, which has no cache.`,
    );
  if (isThere && flags.promptWeights !== undefined)
    throw new UsageError(
      `--prompt-weights is for folded models; ${pathOrUrl} is a checkpoint, which runs in float32.`,
    );
  const model = isThere ? await openUnfolded(pathOrUrl) : await openFolded(pathOrUrl, signal, flags);
  try {
    return await use(model);
  } finally {
    await model.close();
  }
}

async function openUnfolded(path: string): Promise<EvaluatedModel> {
  const { parseTokenizer } = await import('../../artifact/tokenizer.ts');
  const { openCheckpoint } = await import('../../compressor/checkpoint/open.ts');
  const { floatModel } = await import('../../compressor/evaluate/float-model.ts');
  const { unfolded } = await import('../../compressor/student/planned-student.ts');
  const checkpoint = await openCheckpoint(path);
  try {
    return floatModel(unfolded(checkpoint), {
      name: checkpoint.name,
      tokenizer: parseTokenizer(await checkpoint.tokenizerFiles(), checkpoint.name),
      tokens: checkpoint.tokens,
      close: () => checkpoint.close(),
    });
  } catch (error) {
    await checkpoint.close();
    throw error;
  }
}

async function openFolded(
  url: string,
  signal: AbortSignal,
  { kvCache, promptWeights }: FoldedFlags,
): Promise<EvaluatedModel> {
  const { foldedModel } = await import('../../compressor/evaluate/folded-model.ts');
  const local = await fetchModel(url, signal, promptWeights).catch((error: unknown) => {
    if (!(error instanceof NotFoundError)) throw error;
    throw new NotFoundError(`${error.message} There is no checkpoint at that path either.`, { cause: error });
  });
  return foldedModel(local, kvCache);
}

/** Brings the model to this machine, showing how far it is where that takes time. */
async function fetchModel(
  url: string,
  signal: AbortSignal,
  promptWeights: PromptWeights | undefined,
): Promise<LocalFoldedModel> {
  const { openModelUrl } = await import('../../artifact/store/open.ts');
  const { bytesOf } = await import('../../artifact/manifest.ts');
  const { openLocalModel } = await import('../../artifact/models/open-local.ts');
  const { readManifest } = await import('../../artifact/models/read.ts');
  const { store, name } = await openModelUrl(url);
  const { manifest } = await readManifest(store, name, { signal });
  const bytes = bytesOf(withPromptWeights(manifest, promptWeights));
  return withTransfer(`Fetching ${name}`, bytes, (onProgress) =>
    openLocalModel(url, { signal, onProgress, promptWeights }),
  );
}
