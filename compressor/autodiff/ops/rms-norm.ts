import { type Expression, expectShape, expression } from '../expression.ts';
import { multiply, scale, subtract } from './elementwise.ts';
import { reduceSum, sumTo } from './reduce.ts';

/**
 * y = x r gamma over the last axis, r = 1 / sqrt(mean(x²) + epsilon).
 *
 * With t = d x r:  dgamma = sum of t over all rows,
 *                  dx = r (d gamma - x r mean(t gamma)), the mean over the last axis.
 *
 * @param x [..., n]
 * @param gamma [n]
 */
export function rmsNorm(x: Expression, gamma: Expression, epsilon: number): Expression {
  const n = x.shape.at(-1)!;
  const last = x.shape.length - 1;
  expectShape('rmsNorm, gamma', gamma.shape, [n]);
  const y: Expression = expression({
    shape: x.shape,
    inputs: [x, gamma],
    emit: (g, values, name) =>
      g.node('SimplifiedLayerNormalization', values, {
        outputs: [name, `${name}.r`],
        attributes: { axis: -1, epsilon: { float: epsilon }, stash_type: 1 },
      }),
    gradient: (d) => {
      // The second output of the same node, so it needs no rule of its own.
      const r = expression({
        shape: [...x.shape.slice(0, -1), 1],
        inputs: [y],
        emit: (_, [name]) => `${name}.r`,
      });
      const normalized = multiply(x, r);
      const t = multiply(d, normalized);
      const mean = scale(reduceSum(multiply(t, gamma), [last]), 1 / n);
      const dx = multiply(r, subtract(multiply(d, gamma), multiply(normalized, mean)));
      return [dx, sumTo(t, gamma.shape)];
    },
  });
  return y;
}
