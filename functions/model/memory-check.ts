import { totalmem } from 'node:os';
import type { CacheType } from '../../artifact/decoder/decoder-options.ts';
import { FoldgateError } from '../../artifact/errors.ts';
import type { Manifest } from '../../artifact/manifest.ts';
import { leastMemory, servedShapeOf, sessionMemory } from '../../artifact/served-memory.ts';

/** Tokens of the shortest conversation that is worth a server. */
const leastTokens = 256;

/** Bytes above any machine's memory: systems say so where there is no limit. */
const unlimitedBytes = 2 ** 60;

/** A model, and one that drafts for it. */
export interface ServedVersions {
  manifest: Manifest;
  draft?: { manifest: Manifest } | undefined;
}

/**
 * Bytes that both take at least, with so many tokens in their caches or as many as fit.
 * @param kvCache what the model keeps keys and values in; what drafts keeps them in float32
 */
export function memoryFor(
  { manifest, draft }: ServedVersions,
  kvCache: CacheType | undefined,
  mostTokens: number,
): number {
  const tokens = Math.min(mostTokens, manifest.dimensions.contextLength);
  const beside = draft ? sessionMemory(servedShapeOf(draft.manifest), tokens) : 0;
  return Math.ceil(leastMemory(servedShapeOf(manifest, kvCache), tokens) + beside);
}

/**
 * Refuses a model that this process has no memory for before any is taken: the system would end the process
 * with no word of why.
 * @param kvCache what it would keep keys and values in
 * @param limitBytes what the process may have
 * @throws FoldgateError
 */
export function checkMemory(
  { manifest, draft }: ServedVersions,
  kvCache?: CacheType,
  limitBytes = memoryLimit(),
): void {
  const needed = memoryFor({ manifest, draft }, kvCache, leastTokens);
  if (needed <= limitBytes) return;
  const spare = manifest.promptWeights
    ? 'read prompts with the weights of the answers (--prompt-weights same), '
    : '';
  const who = draft ? `${manifest.name}, with ${draft.manifest.name} to draft for it,` : manifest.name;
  throw new FoldgateError(
    `${who} needs at least ${megabytes(needed)} of memory; this process may have ${megabytes(limitBytes)}. ` +
      `Give it more, ${spare}or fold the model for less (foldgate fold --fit).`,
  );
}

/** Bytes this process may have: its control group's, or the machine's. */
function memoryLimit(): number {
  const group = process.constrainedMemory();
  return group > 0 && group < unlimitedBytes ? Math.min(group, totalmem()) : totalmem();
}

const megabytes = (bytes: number) => `${Math.ceil(bytes / 1024 / 1024)} MiB`;
