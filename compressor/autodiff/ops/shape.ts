import { type Expression, expectSize, expression, type Shape } from '../expression.ts';
import { integers, node } from './node.ts';

/** The same numbers in the same order under another shape: no work. dx = d, reshaped back. */
export function reshape(x: Expression, shape: Shape): Expression {
  expectSize(
    'reshape',
    x.shape.reduce((product, length) => product * length, 1),
    shape,
  );
  return expression({
    shape,
    inputs: [x],
    emit: (g, [value], name) => g.node('Reshape', [value!, integers(g, shape)], { outputs: [name] }),
    gradient: (d) => [reshape(d, x.shape)],
  });
}

/** Axis i of the result is axis `order[i]` of x. dx = d, ordered back. */
export function transpose(x: Expression, order: readonly number[]): Expression {
  const inverse = order.map((_, axis) => order.indexOf(axis));
  return node(
    'Transpose',
    [x],
    order.map((axis) => x.shape[axis]!),
    (d) => [transpose(d, inverse)],
    {
      attributes: { perm: [...order] },
    },
  );
}
