import { type AdapterForm, adapterShapes, type Half, noAdapter } from '../adapter/adapter.ts';
import { type Expression, input } from '../autodiff/expression.ts';
import { geluTanh, silu } from '../autodiff/ops/activation.ts';
import { attention } from '../autodiff/ops/attention.ts';
import { add, multiply } from '../autodiff/ops/elementwise.ts';
import { lowRankLinear } from '../autodiff/ops/low-rank.ts';
import { matmul } from '../autodiff/ops/matmul.ts';
import { rmsNorm } from '../autodiff/ops/rms-norm.ts';
import { rotary } from '../autodiff/ops/rotary.ts';
import { reshape, transpose } from '../autodiff/ops/shape.ts';
import type { Architecture, LayerAttention } from '../checkpoint/architecture.ts';
import { type BlockMatrix, type LayerNorm, matrixShape, normsOf } from '../graph/layer.ts';

/** Tokens of a session: `batch` sequences of the same length, each from its first token on. */
export interface BatchShape {
  batch: number;
  tokens: number;
}

/** The queries', keys' and values' share of the stacked matrix: rows of it, one after the other. */
export const qkvParts = ['q', 'k', 'v'] as const;
export type QkvPart = (typeof qkvParts)[number];
/** A weight of the block as the graph takes it: q, k and v apart, since a stack of rows is three arrays in place. */
export type LayerMatrix = QkvPart | Exclude<BlockMatrix, 'qkv'>;
const layerMatrices: LayerMatrix[] = [...qkvParts, 'output', 'gate', 'up', 'down'];

/** One layer as a formula, with everything it is computed from. */
export interface LayerExpression {
  /** [batch * tokens, width] */
  hidden: Expression;
  /** [1] */
  gate: Expression;
  matrices: Record<LayerMatrix, Expression>;
  biases: Partial<Record<QkvPart, Expression>>;
  norms: Partial<Record<LayerNorm, Expression>>;
  /** By the names of `layerAdapterShapes`. */
  adapter: Record<string, Expression>;
  /** [batch * tokens, width] */
  out: Expression;
  /** What is dear to compute again: every product with a matrix, but for the last, and what attention saw. */
  activations: Record<string, Expression>;
}

/** [outputs, inputs]. */
export function layerMatrixShape(a: Architecture, matrix: LayerMatrix): [number, number] {
  if (matrix === 'q') return [a.heads * a.headSize, a.width];
  if (matrix === 'k' || matrix === 'v') return [a.kvHeads * a.headSize, a.width];
  return matrixShape(a, matrix);
}

/**
 * The arrays of an adapter as the graph takes them: `qkv.up` as three, like the matrix it is added to.
 * By the names of `AdapterTensor` but for those.
 */
export function layerAdapterShapes(a: Architecture, form: AdapterForm): Record<string, number[]> {
  const { 'qkv.up': stacked, ...shapes } = adapterShapes(a, form);
  if (!stacked) return shapes;
  const parts = qkvParts.map((part) => [`${part}.up`, [layerMatrixShape(a, part)[0], form.rank]]);
  return { ...shapes, ...Object.fromEntries(parts) };
}

/**
 * out = h + gate (layer(h) - h) of one layer: the same computation as `graph/layer.ts` emits, of operators
 * that have gradients.
 */
export function layerExpression(
  a: Architecture,
  { window }: LayerAttention,
  { batch, tokens }: BatchShape,
  form: AdapterForm = noAdapter,
): LayerExpression {
  const hidden = input('hidden', [batch * tokens, a.width]);
  const gate = input('layer.gate', [1]);
  const [cos, sin] = ['cos', 'sin'].map((name) => input(name, [tokens, a.headSize / 2])) as [
    Expression,
    Expression,
  ];
  const matrices = Object.fromEntries(
    layerMatrices.map((matrix) => [matrix, input(matrix, layerMatrixShape(a, matrix))]),
  ) as Record<LayerMatrix, Expression>;
  const biases: LayerExpression['biases'] = {};
  if (a.qkvBias) {
    for (const part of qkvParts) biases[part] = input(`${part}.bias`, [layerMatrixShape(a, part)[0]]);
  }
  const norms: LayerExpression['norms'] = {};
  for (const norm of normsOf(a)) norms[norm] = input(norm, [/[qk]\.norm$/.test(norm) ? a.headSize : a.width]);

  const adapter = Object.fromEntries(
    Object.entries(layerAdapterShapes(a, form)).map(([name, shape]) => [name, input(name, shape)]),
  );

  const activations: LayerExpression['activations'] = {};
  const kept = (name: string, e: Expression) => {
    activations[`${name}.activation`] = e;
    return e;
  };
  /** x Wᵀ + plus, and what the adapter adds. */
  const product = (matrix: LayerMatrix, x: Expression, plus?: Expression) => {
    const stacked = qkvParts.some((part) => part === matrix) ? 'qkv' : matrix;
    const [down, up] = [adapter[`${stacked}.down`], adapter[`${matrix}.up`]];
    if (down && up) return lowRankLinear(x, matrices[matrix], down, up, plus);
    return matmul(x, matrices[matrix], { transposeB: true, ...(plus && { plus }) });
  };
  const linear = (matrix: LayerMatrix, x: Expression, plus?: Expression) =>
    kept(matrix, product(matrix, x, plus));
  const scaled = (half: Half, x: Expression) => {
    const gain = adapter[`${half}.gain`];
    return gain ? multiply(x, gain) : x;
  };
  const normalize = (norm: LayerNorm, x: Expression) => rmsNorm(x, norms[norm]!, a.normEpsilon);

  const attentionIn = normalize('attention.norm', hidden);
  const heads = (part: QkvPart) => {
    const y = linear(part, attentionIn, biases[part]);
    return transpose(reshape(y, [batch, tokens, y.shape[1]! / a.headSize, a.headSize]), [0, 2, 1, 3]);
  };
  const turned = (part: 'q' | 'k') => {
    const x = heads(part);
    return rotary(a.qkNorm ? normalize(`attention.${part}.norm`, x) : x, cos, sin);
  };
  const seen = kept('attention', attention(turned('q'), turned('k'), heads('v'), a.attentionScale, window));
  const joined = reshape(transpose(seen, [0, 2, 1, 3]), [batch * tokens, a.heads * a.headSize]);
  let mixed = linear('output', joined);
  if (a.postNorms) mixed = normalize('attention.postNorm', mixed);
  mixed = scaled('attention', mixed);

  const middle = add(hidden, mixed);
  const mlpIn = normalize('mlp.norm', middle);
  const activation = a.activation === 'silu' ? silu : geluTanh;
  const inner = multiply(activation(linear('gate', mlpIn)), linear('up', mlpIn));
  const base = add(hidden, multiply(mixed, gate));
  // The gate acts before the last product where it may: its gradient then needs no product but that of `inner`.
  if (!a.postNorms && !form.gains) {
    const out = product('down', multiply(inner, gate), base);
    return { hidden, gate, matrices, biases, norms, adapter, out, activations };
  }
  // Without a norm after it, it is computed again on the way back, so that all layers keep the same.
  const down = a.postNorms ? normalize('mlp.postNorm', linear('down', inner)) : product('down', inner);
  return {
    ...{ hidden, gate, matrices, biases, norms, adapter },
    out: add(base, multiply(scaled('mlp', down), gate)),
    activations,
  };
}
