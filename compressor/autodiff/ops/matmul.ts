import { type Expression, expectShape, expression } from '../expression.ts';
import { contrib, node } from './node.ts';
import { sumTo } from './reduce.ts';

export interface MatmulOptions {
  /** Takes `a` as [K, M]. @default false */
  transposeA?: boolean;
  /** Takes `b` as [N, K], as weights lie: [outputs, inputs]. @default false */
  transposeB?: boolean;
  /** Added to the product at no cost: [M, N], or a bias [N]. */
  plus?: Expression;
}

/**
 * y = a b + plus, [M, K] x [K, N] -> [M, N], as `Gemm`: its transpose flags cost nothing, so neither
 * direction of a gradient copies a matrix.
 *
 * da = d bᵀ, db = aᵀ d (each transposed where its operand is), dplus = d, summed over rows for a bias.
 */
export function matmul(a: Expression, b: Expression, options: MatmulOptions = {}): Expression {
  const { transposeA = false, transposeB = false, plus } = options;
  const [m, k] = transposeA ? [a.shape[1]!, a.shape[0]!] : [a.shape[0]!, a.shape[1]!];
  const n = b.shape[transposeB ? 0 : 1]!;
  expectShape('matmul, right side', b.shape, transposeB ? [n, k] : [k, n]);
  if (plus) expectShape('matmul, what is added', plus.shape, plus.shape.length === 1 ? [n] : [m, n]);
  return expression({
    shape: [m, n],
    inputs: plus ? [a, b, plus] : [a, b],
    emit: (g, values, name) =>
      g.node('Gemm', values, {
        outputs: [name],
        attributes: { transA: Number(transposeA), transB: Number(transposeB) },
      }),
    gradient: (d) => [
      transposeA
        ? matmul(b, d, { transposeA: transposeB, transposeB: true })
        : matmul(d, b, { transposeB: !transposeB }),
      transposeB
        ? matmul(d, a, { transposeA: true, transposeB: transposeA })
        : matmul(a, d, { transposeA: !transposeA }),
      ...(plus ? [sumTo(d, plus.shape)] : []),
    ],
    ...(!plus && { plus: (term) => matmul(a, b, { ...options, plus: term }) }),
  });
}

/**
 * factor * a b over equal leading axes, [..., M, K] x [..., K, N] -> [..., M, N], as `FusedMatMul`.
 * da = factor * d bᵀ, db = factor * aᵀ d.
 */
export function batchedMatmul(
  a: Expression,
  b: Expression,
  options: { transposeA?: boolean; transposeB?: boolean; factor?: number } = {},
): Expression {
  const { transposeA = false, transposeB = false, factor = 1 } = options;
  const [lead, rows] = [a.shape.slice(0, -2), a.shape.slice(-2)];
  const [m, k] = transposeA ? [rows[1]!, rows[0]!] : [rows[0]!, rows[1]!];
  const n = b.shape.at(transposeB ? -2 : -1)!;
  expectShape('batchedMatmul, right side', b.shape, [...lead, ...(transposeB ? [n, k] : [k, n])]);
  return node(
    'FusedMatMul',
    [a, b],
    [...lead, m, n],
    (d) => [
      transposeA
        ? batchedMatmul(b, d, { transposeA: transposeB, transposeB: true, factor })
        : batchedMatmul(d, b, { transposeB: !transposeB, factor }),
      transposeB
        ? batchedMatmul(d, a, { transposeA: true, transposeB: transposeA, factor })
        : batchedMatmul(a, d, { transposeA: !transposeA, factor }),
    ],
    {
      ...contrib,
      attributes: {
        transA: Number(transposeA),
        transB: Number(transposeB),
        alpha: { float: factor },
      },
    },
  );
}
