import type { Half } from '../../artifact/manifest.ts';
import type { Checkpoint, LayerRole } from '../checkpoint/checkpoint.ts';
import { hasQkvBias, matricesOf } from '../graph/halves.ts';
import { type BlockMatrix, type LayerNorm, matrixShape, normsOf } from '../graph/layer.ts';
import { joined } from './joined.ts';
import { type Mixture, mix } from './mixture.ts';

/** The weights of one transformer block in float32: what layers of one group share. */
export interface BlockWeights {
  /** Row-major [outputs, inputs], of the halves that are run. */
  matrices: Partial<Record<BlockMatrix, Float32Array>>;
  /** [outputs of qkv], where the architecture has one and attention is run. */
  qkvBias?: Float32Array;
}

/** A layer's own vectors. */
export type NormWeights = Partial<Record<LayerNorm, Float32Array>>;

/** The tensors of a checkpoint that make up one of our matrices, stacked along the outputs. */
export function partsOf(matrix: BlockMatrix): LayerRole[] {
  switch (matrix) {
    case 'qkv':
      return ['attention.q', 'attention.k', 'attention.v'];
    case 'output':
      return ['attention.output'];
    default:
      return [`mlp.${matrix}`];
  }
}

/**
 * Reads one block, mixed of one or several layers: the only large allocation of a fold besides some rows
 * of the embedding.
 * @param half where that one alone is run
 */
export async function readBlock(
  checkpoint: Checkpoint,
  mixture: Mixture,
  half?: Half,
): Promise<BlockWeights> {
  const matrices: BlockWeights['matrices'] = {};
  for (const matrix of matricesOf(half)) matrices[matrix] = await readMatrix(checkpoint, mixture, matrix);
  const qkvBias = half === 'mlp' ? undefined : await readQkvBias(checkpoint, mixture);
  return { matrices, ...(qkvBias && { qkvBias }) };
}

export function readMatrix(
  checkpoint: Checkpoint,
  mixture: Mixture,
  matrix: BlockMatrix,
): Promise<Float32Array> {
  return mix(mixture, (layer) => readStacked(checkpoint, layer, partsOf(matrix)));
}

export async function readQkvBias(
  checkpoint: Checkpoint,
  mixture: Mixture,
): Promise<Float32Array | undefined> {
  if (!checkpoint.architecture.qkvBias) return undefined;
  const biases: LayerRole[] = ['attention.q.bias', 'attention.k.bias', 'attention.v.bias'];
  return mix(mixture, (layer) => readStacked(checkpoint, layer, biases));
}

/** @param half where the layer runs that one alone */
export async function readNorms(checkpoint: Checkpoint, layer: number, half?: Half): Promise<NormWeights> {
  const norms: NormWeights = {};
  for (const norm of normsOf(checkpoint.architecture, half)) {
    norms[norm] = await checkpoint.tensor(`layers.${layer}.${norm}`).read();
  }
  return norms;
}

/** Those with which a layer runs one half alone. */
export function normsOfHalf(norms: NormWeights, half: Half): NormWeights {
  return Object.fromEntries(Object.entries(norms).filter(([norm]) => norm.startsWith(`${half}.`)));
}

/** One layer of the checkpoint as it is. */
export async function readLayer(
  checkpoint: Checkpoint,
  layer: number,
): Promise<{ block: BlockWeights; norms: NormWeights }> {
  const block = await readBlock(checkpoint, [{ layer, factor: 1 }]);
  return { block, norms: await readNorms(checkpoint, layer) };
}

async function readStacked(checkpoint: Checkpoint, layer: number, roles: LayerRole[]): Promise<Float32Array> {
  const parts = await Promise.all(roles.map((role) => checkpoint.tensor(`layers.${layer}.${role}`).read()));
  return parts.length === 1 ? parts[0]! : joined(parts);
}

/** Parameters of a block's matrices and biases. @param half where that one alone is run */
export function blockParameters(a: Checkpoint['architecture'], half?: Half): number {
  const matrices = matricesOf(half).reduce((sum, matrix) => {
    const [outputs, inputs] = matrixShape(a, matrix);
    return sum + outputs * inputs;
  }, 0);
  return matrices + (hasQkvBias(a, half) ? matrixShape(a, 'qkv')[0] : 0);
}

/** Parameters of a linear patch: a square matrix and a bias. */
export function patchParameters({ width }: Pick<Checkpoint['architecture'], 'width'>): number {
  return width * width + width;
}

/** Parameters of one layer's own norms. @param half where it runs that one alone */
export function normParameters(a: Checkpoint['architecture'], half?: Half): number {
  return normsOf(a, half).reduce((sum, norm) => sum + (/[qk]\.norm$/.test(norm) ? a.headSize : a.width), 0);
}

/** Embedding, head and final norm: what no fold removes. */
export function sharedParameters(a: Checkpoint['architecture']): number {
  return a.vocabularySize * a.width * (a.tiedHead ? 1 : 2) + a.width;
}
