import { influence } from './influence.ts';
import { loss } from './loss.ts';
import type { Ranker } from './ranker.ts';

/** The ways to rank layers, by the name that `--rank` takes. */
export const rankers: Record<string, Ranker> = { influence, loss };
