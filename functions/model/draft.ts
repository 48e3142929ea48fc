import { type PromptWeights, withPromptWeights } from '../../artifact/decoder/prompt-weights.ts';
import { UsageError } from '../../artifact/errors.ts';
import type { Manifest } from '../../artifact/manifest.ts';
import { type PublishedModel, readManifest } from '../../artifact/models/read.ts';
import type { CallOptions, Store } from '../../artifact/store/store.ts';

/** A version of a model, and its name in the store. */
export interface NamedVersion extends PublishedModel {
  name: string;
}

/** A version to load, with that of the model that drafts for it. */
export interface VersionPair extends PublishedModel {
  draft?: NamedVersion | undefined;
}

export interface ReadVersionsOptions extends CallOptions {
  /** Name of a model in the same store that is to draft. @default none */
  draft?: string | undefined;
  /** What prompts are to be read with; what drafts reads them with its own. @default 'auto' */
  promptWeights?: PromptWeights | undefined;
}

/**
 * The versions that the names of a model, and of one that is to draft for it, mean now, as they are to run.
 * @throws NotFoundError, InvalidDataError from the store; UsageError where the two do not speak the same tokens, and for
 * weights for prompts that the model does not have
 */
export async function readVersions(
  store: Store,
  name: string,
  { draft: draftName, promptWeights, ...options }: ReadVersionsOptions = {},
): Promise<VersionPair> {
  const read = async (name: string, promptWeights?: PromptWeights) => {
    const published = await readManifest(store, name, options);
    return { ...published, manifest: withPromptWeights(published.manifest, promptWeights) };
  };
  const [published, drafting] = await Promise.all([
    read(name, promptWeights),
    draftName === undefined ? undefined : read(draftName, 'same'),
  ]);
  if (!drafting) return published;
  const draft = { ...drafting, name: draftName! };
  checkDraft({ name, manifest: published.manifest }, draft);
  return { ...published, draft };
}

/**
 * Guesses are token ids: both models have to mean the same by them.
 * @throws UsageError
 */
function checkDraft(
  { name, manifest }: { name: string; manifest: Manifest },
  { name: draftName, manifest: draft }: NamedVersion,
): void {
  const [size, draftSize] = [manifest.dimensions.vocabularySize, draft.dimensions.vocabularySize];
  const [tokenizer, draftTokenizer] = [manifest, draft].map((of) => of.tokenizer['tokenizer.json'].sha256);
  if (size === draftSize && tokenizer === draftTokenizer) return;
  const difference =
    size === draftSize
      ? `their tokenizers differ (${tokenizer!.slice(0, 12)} and ${draftTokenizer!.slice(0, 12)})`
      : `their vocabularies have ${size} and ${draftSize} tokens`;
  throw new UsageError(
    `${draftName} cannot draft for ${name}: ${difference}. Name a model that was folded from the same checkpoint, or ` +
      'from a smaller one of its family with the same tokenizer.',
  );
}
