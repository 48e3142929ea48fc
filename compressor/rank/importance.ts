import type { Checkpoint } from '../checkpoint/checkpoint.ts';
import type { TextWindows } from '../evaluate/windows.ts';
import type { Shrink } from '../plan/widths.ts';
import { influence } from './influence.ts';
import type { Ranking, RankRequest } from './ranker.ts';

/**
 * A ranking, and where both layers and width are to go, what each layer's width is worth: influence says so whatever says
 * which layers go, as in MoDeGPT.
 */
export async function withImportance<R extends Ranking>(
  checkpoint: Checkpoint,
  text: TextWindows,
  { rank, shrink }: { rank: string; shrink?: Shrink | undefined },
  ranking: R,
  request: RankRequest,
): Promise<R> {
  if (shrink !== 'both' || rank === 'influence') return ranking;
  const { scores } = await influence(checkpoint, text, request);
  return { ...ranking, importance: scores };
}
