import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { InvalidDataError, NotFoundError } from '../../artifact/errors.ts';
import type { Comparison } from './row.ts';

/** Where the result lies in a comparison's folder. */
export const comparisonFile = 'compare.json';

/** Other versions are refused: a reader must never guess. */
export const comparisonVersion = 1;

/**
 * The result of a comparison, whole or as far as it went.
 * @throws NotFoundError, InvalidDataError
 */
export async function readComparison(folder: string): Promise<Comparison> {
  const path = join(folder, comparisonFile);
  const text = await readFile(path, 'utf8').catch((cause: Error) => {
    throw new NotFoundError(`There is no comparison in ${folder}: name a folder of \`foldgate compare\`.`, {
      cause,
    });
  });
  let comparison: Partial<Comparison>;
  try {
    comparison = JSON.parse(text);
  } catch (cause) {
    throw new InvalidDataError(`${path} is no JSON. Run \`foldgate compare\` again.`, { cause });
  }
  if (comparison?.version !== comparisonVersion) {
    throw new InvalidDataError(
      `${path} has version ${JSON.stringify(comparison?.version)}, and this Foldgate reads ${comparisonVersion}. ` +
        'Run `foldgate compare` again.',
    );
  }
  if (!comparison.results?.length)
    throw new InvalidDataError(`${path} holds no results yet. Let \`foldgate compare\` go on.`);
  return comparison as Comparison;
}
