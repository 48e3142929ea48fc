import { cachedLayers, type MatrixKind, type Precision } from '../../artifact/manifest.ts';
import { servedMemory } from '../../artifact/served-memory.ts';
import { type AdaptedPlan, adaptedLayers } from '../adapter/adapted-layers.ts';
import type { Architecture } from '../checkpoint/architecture.ts';
import type { Checkpoint } from '../checkpoint/checkpoint.ts';
import { alignment } from '../export/blob-writer.ts';
import { bitsBudget, parsePrecision, resolvePrecision } from '../quantize/precision.ts';
import { storedPositions } from '../weights/rotary.ts';
import type { FoldPlan } from './plan.ts';
import { foldedSizes } from './sizes.ts';

/** Size of a model's tokenizer files. */
export type TokenizerBytes = number;

export interface SizedModel {
  architecture: Architecture;
  plan: AdaptedPlan & Pick<FoldPlan, 'patch' | 'widths'>;
  precision: Record<MatrixKind, Precision>;
  /** As `bitsBudget` gives it. */
  budget: number | undefined;
  tokenizer: TokenizerBytes;
}

/** What a plan comes to where nothing is known but the checkpoint. */
export function sizedModel(checkpoint: Checkpoint, plan: FoldPlan, tokenizer: TokenizerBytes): SizedModel {
  const precision = resolvePrecision(checkpoint, plan, parsePrecision(plan.quantize));
  const { architecture } = checkpoint;
  return { architecture, plan, precision, budget: bitsBudget(plan.quantize), tokenizer };
}

/**
 * A graph's nodes and names, a layer: 2.3 kB at most as measured, 2.9 kB more with low-rank matrices, 4.4 kB where these
 * come from pools; and what surrounds the layers.
 */
const graphBytes = { layer: 2500, adapter: 3000, pooled: 4500, rest: 10_000 };

/** What a layer's int8 cache adds to the second graph. */
const int8GraphBytes = 600;

/** Everything a model takes in a store, with the graph and the scales of an int8 cache. */
export function storedBytes({ architecture: a, plan, precision, budget, tokenizer }: SizedModel): number {
  const positions = storedPositions(a.contextLength);
  const rotary = a.rotaries.length * 2 * positions * (a.headSize / 2) * 4;
  const ofAdapter = plan.adapter?.pool ? graphBytes.pooled : graphBytes.adapter;
  const adapters = adaptedLayers(plan).length * ofAdapter;
  const graph = graphBytes.rest + plan.layers.length * graphBytes.layer + adapters;
  const scales = 2 * 4 * a.kvHeads * a.headSize + 2 * alignment; // of keys and values, padded
  const int8Cache = graph + cachedLayers(plan.layers) * (int8GraphBytes + scales);
  return foldedSizes(a, plan, precision, budget).bytes + rotary + graph + int8Cache + tokenizer;
}

/** Tokens of context that are taken to be in use. */
export const contextTokens = 2048;

/** Resident memory of a process that serves the model, with 2,048 tokens of one sequence in its cache. */
export function servedBytes({ architecture, plan, precision, budget }: SizedModel): number {
  const { bytes, assembledBytes } = foldedSizes(architecture, plan, precision, budget);
  const weightBytes = bytes + assembledBytes;
  const intermediateSize = plan.widths ? Math.max(...plan.widths) : architecture.intermediateSize;
  const layers = cachedLayers(plan.layers);
  const shape = { ...architecture, intermediateSize, layers, weightBytes, kvCache: 'float32' as const };
  return servedMemory(shape, contextTokens);
}
