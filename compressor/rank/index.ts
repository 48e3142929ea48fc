import { angular } from './angular.ts';
import { blockpruner } from './blockpruner.ts';
import { clusters } from './clusters.ts';
import { cosine } from './cosine.ts';
import { gates } from './gates.ts';
import { gatesHalves } from './gates-halves.ts';
import { greedy } from './greedy.ts';
import { influence } from './influence.ts';
import { lateMiddle } from './late-middle.ts';
import { loss } from './loss.ts';
import type { Ranker } from './ranker.ts';
import { reverse } from './reverse.ts';
import { runs } from './runs.ts';
import type { RankerName } from './summaries.ts';
import { uniform } from './uniform.ts';

/** Rankings that look at each layer by itself: how many are to go changes none of their scores. */
export const layerwise: ReadonlySet<string> = new Set(['loss', 'influence', 'reverse']);

const byName: Record<RankerName, Ranker> = {
  loss,
  greedy,
  blockpruner,
  influence,
  gates,
  'gates-halves': gatesHalves,
  runs,
  angular,
  cosine,
  clusters,
  reverse,
  'late-middle': lateMiddle,
  uniform,
};

/** The ways to rank layers, by the name that `--rank` takes. */
export const rankers: Record<string, Ranker> = byName;
