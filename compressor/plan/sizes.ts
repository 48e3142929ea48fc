import type { MatrixKind, Precision } from '../../artifact/manifest.ts';
import {
  type AdaptedPlan,
  adaptersParameters,
  poolsOf,
  runAdaptersParameters,
} from '../adapter/adapted-layers.ts';
import { type Architecture, architectureOfBlock, storedArchitecture } from '../checkpoint/architecture.ts';
import { halfOfBlock, hasQkvBias, matricesOf } from '../graph/halves.ts';
import { matrixShape } from '../graph/layer.ts';
import { patchedLayers } from '../patch/cuts.ts';
import { patchPrecision } from '../quantize/precision.ts';
import { blocksInOrder } from '../student/student.ts';
import { blockParameters, normParameters, patchParameters, sharedParameters } from '../weights/block.ts';
import type { FoldPlan } from './plan.ts';

export interface FoldedSizes {
  /** Parameters of the checkpoint. */
  original: number;
  /** Parameters of the folded model, each distinct block counted once. */
  folded: number;
  /** The checkpoint's size in 16 bits a parameter. */
  originalBytes: number;
  /** The folded model's weights; the graph, tokenizer and rotary tables come on top. */
  bytes: number;
  /** What a serving process makes of the pools of adapters when it loads the model. */
  assembledBytes: number;
}

/**
 * What a plan saves, known before anything is read.
 * @param budget as `bitsBudget` gives it
 */
export function foldedSizes(
  a: Architecture,
  plan: AdaptedPlan & Pick<FoldPlan, 'patch' | 'widths'>,
  precision: Record<MatrixKind, Precision>,
  budget = 0,
): FoldedSizes {
  const blocks = blocksInOrder(plan);
  const stored = storedArchitecture(a);
  const shared = sharedParameters(stored);
  const norms = sumOf(plan.layers, ({ half }) => normParameters(stored, half));
  const patches = patchedLayers(plan, a.layers.length).length;
  const adapters = adaptersParameters(a, plan);
  const pools = poolsOf(a, plan);
  const original = shared + a.layers.length * (blockParameters(stored) + normParameters(stored));
  const inBlocks = sumOf(blocks, (block) =>
    blockParameters(architectureOfBlock(stored, plan.widths, block), halfOfBlock(plan.layers, block)),
  );
  const blockBytes = sumOf(blocks, (block) => {
    const half = halfOfBlock(plan.layers, block);
    const ofBlock = architectureOfBlock(a, plan.widths, block);
    const shapes = matricesOf(half).map((kind) => [kind, matrixShape(ofBlock, kind)] as const);
    const least = sumOf(shapes, ([kind, shape]) => matrixBytes(shape, precision[kind]));
    const weights = sumOf(shapes, ([, [outputs, inputs]]) => outputs * inputs);
    const bias = hasQkvBias(a, half) ? 4 * matrixShape(a, 'qkv')[0] : 0;
    return Math.max(least, Math.floor((weights * budget) / 8)) + bias;
  });
  const patchBytes = matrixBytes([a.width, a.width], patchPrecision(precision)) + 4 * a.width;
  const vocabulary = matrixBytes([a.vocabularySize, a.width], precision.embedding) * (a.tiedHead ? 1 : 2);
  return {
    original,
    folded: shared + inBlocks + norms + patches * patchParameters(a) + adapters,
    originalBytes: 2 * original,
    bytes:
      blockBytes +
      patches * patchBytes +
      vocabulary +
      4 * (norms + adapters + (pools?.places ?? 0) + a.width),
    assembledBytes: pools ? 4 * runAdaptersParameters(a, plan) : 0,
  };
}

function sumOf<T>(all: readonly T[], of: (one: T) => number): number {
  return all.reduce((sum, one) => sum + of(one), 0);
}

/** Codes with the last block padded, and a float32 scale a block. */
export function matrixBytes([outputs, inputs]: [number, number], { bits, blockSize }: Precision): number {
  if (bits === 32) return 4 * outputs * inputs;
  const blocks = Math.ceil(inputs / blockSize!);
  return outputs * blocks * ((blockSize! * bits) / 8 + 4);
}
