import { totalmem } from 'node:os';
import type { CacheType } from '../../artifact/decoder/decoder-options.ts';
import { FoldgateError } from '../../artifact/errors.ts';
import type { Manifest } from '../../artifact/manifest.ts';
import { leastMemory, servedShapeOf } from '../../artifact/served-memory.ts';

/** Tokens of the shortest conversation that is worth a server. */
const leastTokens = 256;

/** Bytes above any machine's memory: systems say so where there is no limit. */
const unlimitedBytes = 2 ** 60;

/**
 * Refuses a model that this process has no memory for before any is taken: the system would end the process
 * with no word of why.
 * @param kvCache what it would keep keys and values in
 * @param limitBytes what the process may have
 * @throws FoldgateError
 */
export function checkMemory(
  manifest: Manifest,
  kvCache: CacheType = 'float32',
  limitBytes = memoryLimit(),
): void {
  const tokens = Math.min(leastTokens, manifest.dimensions.contextLength);
  const needed = leastMemory(servedShapeOf(manifest, kvCache), tokens);
  if (needed <= limitBytes) return;
  throw new FoldgateError(
    `${manifest.name} needs at least ${megabytes(needed)} of memory; this process may have ${megabytes(limitBytes)}. ` +
      'Give it more, or fold the model for less (foldgate fold --fit).',
  );
}

/** Bytes this process may have: its control group's, or the machine's. */
function memoryLimit(): number {
  const group = process.constrainedMemory();
  return group > 0 && group < unlimitedBytes ? Math.min(group, totalmem()) : totalmem();
}

const megabytes = (bytes: number) => `${Math.ceil(bytes / 1024 / 1024)} MiB`;
