import type { Half } from '../../artifact/manifest.ts';
import { type AdapterForm, adapterShapes, noAdapter } from '../adapter/adapter.ts';
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
import { hasQkvBias, matricesOf } from '../graph/halves.ts';
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

/** Those of a layer that runs one half, or both. */
function layerMatrices(half: Half | undefined): LayerMatrix[] {
  return matricesOf(half).flatMap((matrix): readonly LayerMatrix[] =>
    matrix === 'qkv' ? qkvParts : [matrix],
  );
}

/** One layer as a formula, with everything it is computed from. */
export interface LayerExpression {
  /** [batch * tokens, width] */
  hidden: Expression;
  /** [1] */
  gate: Expression;
  matrices: Partial<Record<LayerMatrix, Expression>>;
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
 * @param half where the layer runs that one alone. @default both
 */
export function layerExpression(
  a: Architecture,
  { window }: LayerAttention,
  { batch, tokens }: BatchShape,
  form: AdapterForm = noAdapter,
  half?: Half,
): LayerExpression {
  const hidden = input('hidden', [batch * tokens, a.width]);
  const gate = input('layer.gate', [1]);
  const [cos, sin] = ['cos', 'sin'].map((name) => input(name, [tokens, a.headSize / 2])) as [
    Expression,
    Expression,
  ];
  const matrices: LayerExpression['matrices'] = {};
  for (const matrix of layerMatrices(half)) matrices[matrix] = input(matrix, layerMatrixShape(a, matrix));
  const biases: LayerExpression['biases'] = {};
  if (hasQkvBias(a, half)) {
    for (const part of qkvParts) biases[part] = input(`${part}.bias`, [layerMatrixShape(a, part)[0]]);
  }
  const norms: LayerExpression['norms'] = {};
  for (const norm of normsOf(a, half))
    norms[norm] = input(norm, [/[qk]\.norm$/.test(norm) ? a.headSize : a.width]);

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
    if (down && up) return lowRankLinear(x, matrices[matrix]!, down, up, plus);
    return matmul(x, matrices[matrix]!, { transposeB: true, ...(plus && { plus }) });
  };
  const linear = (matrix: LayerMatrix, x: Expression, plus?: Expression) =>
    kept(matrix, product(matrix, x, plus));
  const scaled = (half: Half, x: Expression) => {
    const gain = adapter[`${half}.gain`];
    return gain ? multiply(x, gain) : x;
  };
  const normalize = (norm: LayerNorm, x: Expression) => rmsNorm(x, norms[norm]!, a.normEpsilon);

  const heads = (part: QkvPart, x: Expression) => {
    const y = linear(part, x, biases[part]);
    return transpose(reshape(y, [batch, tokens, y.shape[1]! / a.headSize, a.headSize]), [0, 2, 1, 3]);
  };
  const turned = (part: 'q' | 'k', x: Expression) => {
    const y = heads(part, x);
    return rotary(a.qkNorm ? normalize(`attention.${part}.norm`, y) : y, cos, sin);
  };
  /** What attention adds to the hidden state. */
  const attended = () => {
    const x = normalize('attention.norm', hidden);
    const seen = kept(
      'attention',
      attention(turned('q', x), turned('k', x), heads('v', x), a.attentionScale, window),
    );
    const joined = reshape(transpose(seen, [0, 2, 1, 3]), [batch * tokens, a.heads * a.headSize]);
    const mixed = linear('output', joined);
    return scaled('attention', a.postNorms ? normalize('attention.postNorm', mixed) : mixed);
  };
  const parts = { hidden, gate, matrices, biases, norms, adapter, activations };
  const mixed = half === 'mlp' ? undefined : attended();
  const base = mixed ? add(hidden, multiply(mixed, gate)) : hidden;
  if (half === 'attention') return { ...parts, out: base };

  const mlpIn = normalize('mlp.norm', mixed ? add(hidden, mixed) : hidden);
  const activation = a.activation === 'silu' ? silu : geluTanh;
  const inner = multiply(activation(linear('gate', mlpIn)), linear('up', mlpIn));
  // The gate acts before the last product where it may: its gradient then needs no product but that of `inner`.
  if (!a.postNorms && !form.gains) return { ...parts, out: product('down', multiply(inner, gate), base) };
  // Without a norm after it, it is computed again on the way back, so that all layers keep the same.
  const down = a.postNorms ? normalize('mlp.postNorm', linear('down', inner)) : product('down', inner);
  return { ...parts, out: add(base, multiply(scaled('mlp', down), gate)) };
}
