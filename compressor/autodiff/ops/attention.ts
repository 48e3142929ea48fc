import { constant, type Expression, expression } from '../expression.ts';
import { add, multiply, subtract } from './elementwise.ts';
import { batchedMatmul } from './matmul.ts';
import { contrib, integers, node } from './node.ts';
import { reduceSum } from './reduce.ts';
import { reshape } from './shape.ts';

/** What hides a position from another: far below any score, and its exponential is 0 in float32. */
const hidden = -1e9;

/**
 * Causal attention with grouped queries: p = softmax(factor q kᵀ + mask), y = p v, where a key's and
 * value's head serves heads/kvHeads neighbouring query heads.
 *
 * dv = pᵀ d;  ds = p (d vᵀ - sum(d y)), since sum(p dp) over keys is sum(d y) over the head's numbers, a
 * `tokens / size` times smaller one;  dq = factor ds k;  dk = factor dsᵀ q.
 *
 * @param q [batch, heads, tokens, size]
 * @param k [batch, kvHeads, tokens, size], as is `v`
 * @param factor on q·k
 * @param window tokens a position sees, itself included; all before it where undefined
 * @returns [batch, heads, tokens, size]
 */
export function attention(
  q: Expression,
  k: Expression,
  v: Expression,
  factor: number,
  window?: number,
): Expression {
  const [batch, heads, tokens, size] = q.shape as [number, number, number, number];
  const kvHeads = k.shape[1]!;
  const group = heads / kvHeads;
  // The queries that share keys are rows of one product: no key is repeated, and dk sums over them by itself.
  const rows = [batch, kvHeads, group * tokens, size];
  const apart = [batch, kvHeads, group, tokens, tokens];
  const together = [batch, kvHeads, group * tokens, tokens];

  const queries = reshape(q, rows);
  const scores = reshape(batchedMatmul(queries, k, { transposeB: true, factor }), apart);
  const masked = add(scores, constant(causalMask(tokens, window), [tokens, tokens]));
  const p = reshape(node('Softmax', [masked], apart, undefined, { attributes: { axis: -1 } }), together);

  const y: Expression = expression({
    shape: q.shape,
    inputs: [queries, k, v, p],
    emit: (g, [, , value, weights], name) => {
      const product = g.node('FusedMatMul', [weights!, value!], contrib);
      return g.node('Reshape', [product, integers(g, q.shape)], { outputs: [name] });
    },
    gradient: (dy) => {
      const d = reshape(dy, rows);
      const correction = reshape(reduceSum(multiply(dy, y), [3]), [batch, kvHeads, group * tokens, 1]);
      const ds = multiply(p, subtract(batchedMatmul(d, v, { transposeB: true }), correction));
      return [
        batchedMatmul(ds, k, { factor }),
        batchedMatmul(ds, queries, { transposeA: true, factor }),
        batchedMatmul(p, d, { transposeA: true }),
        undefined,
      ];
    },
  });
  return y;
}

/** [tokens, tokens]: 0 where the row's position sees the column's. */
function causalMask(tokens: number, window = tokens): Float32Array {
  const mask = new Float32Array(tokens * tokens).fill(hidden);
  for (let row = 0; row < tokens; row++) {
    mask.fill(0, row * tokens + Math.max(0, row - window + 1), row * tokens + row + 1);
  }
  return mask;
}
