import type { Expression } from '../expression.ts';
import { multiply, subtract } from './elementwise.ts';
import { node } from './node.ts';
import { reduceSum } from './reduce.ts';

/** y = exp(x) / sum(exp(x)) over the last axis. dx = y (d - sum(d y)). */
export function softmax(x: Expression): Expression {
  const last = x.shape.length - 1;
  const y: Expression = node(
    'Softmax',
    [x],
    x.shape,
    (d) => [multiply(y, subtract(d, reduceSum(multiply(d, y), [last])))],
    { attributes: { axis: -1 } },
  );
  return y;
}
