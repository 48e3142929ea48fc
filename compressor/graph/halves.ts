import { type Half, halves } from '../../artifact/manifest.ts';
import type { Architecture } from '../checkpoint/architecture.ts';
import { type BlockMatrix, blockMatrices } from './layer.ts';

/** As people call them. */
export const halfNames: Record<Half, string> = { attention: 'attention', mlp: 'MLP' };

const ofAttention: ReadonlySet<BlockMatrix> = new Set(['qkv', 'output']);

/** The half that a matrix belongs to. */
function halfOfMatrix(matrix: BlockMatrix): Half {
  return ofAttention.has(matrix) ? 'attention' : 'mlp';
}

/** Of a layer that runs one half, or both. */
export function matricesOf(half: Half | undefined): BlockMatrix[] {
  return blockMatrices.filter((matrix) => half === undefined || halfOfMatrix(matrix) === half);
}

/** What decides which halves a layer runs. @default both */
interface RunLayer {
  half?: Half | undefined;
}

/** Undefined where both are run. */
function bothOr(run: ReadonlySet<Half | undefined>): Half | undefined {
  const [first, ...others] = run;
  return others.length === 0 ? first : undefined;
}

/** The half that a block consists of, where all layers that run it leave the other out. */
export function halfOfBlock(
  layers: readonly (RunLayer & { block: number })[],
  block: number,
): Half | undefined {
  return bothOr(new Set(layers.filter((layer) => layer.block === block).map(({ half }) => half)));
}

/** What of a block is stored: all that one of its layers runs. */
export function matricesOfBlock(
  layers: readonly (RunLayer & { block: number })[],
  block: number,
): BlockMatrix[] {
  return matricesOf(halfOfBlock(layers, block));
}

/**
 * The half that a layer with these norms runs: it has norms of what it runs alone.
 * @param own the layer's own weights
 */
export function halfOfNorms(own: {
  'attention.norm'?: Float32Array;
  'mlp.norm'?: Float32Array;
}): Half | undefined {
  const run = halves.filter((half) => own[`${half}.norm`]);
  return run.length === 1 ? run[0] : undefined;
}

/** Whether an architecture's block has a bias that this half runs. */
export function hasQkvBias({ qkvBias }: Architecture, half: Half | undefined): boolean {
  return qkvBias && half !== 'mlp';
}
