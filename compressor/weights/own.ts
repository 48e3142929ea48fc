import type { AdapterWeights } from '../adapter/adapter.ts';
import type { NormWeights } from './block.ts';

/** What stays a layer's own where its block is shared: norms, and an adapter where it has one. */
export type OwnWeights = NormWeights & AdapterWeights;
