import { type Expression, expression, type Shape, sizeOf } from '../expression.ts';
import { integers } from './node.ts';
import { reshape } from './shape.ts';

/**
 * y = sum of x over `axes`, which stay with length 1.
 * dx = d, the same for all that were added up.
 */
export function reduceSum(x: Expression, axes: readonly number[]): Expression {
  return expression({
    shape: x.shape.map((length, axis) => (axes.includes(axis) ? 1 : length)),
    inputs: [x],
    emit: (g, [value], name) => g.node('ReduceSum', [value!, integers(g, axes)], { outputs: [name] }),
    gradient: (d) => [broadcastTo(d, x.shape)],
  });
}

/** The sum of all of x, as a tensor of shape []. */
export function sumAll(x: Expression): Expression {
  return reshape(
    reduceSum(
      x,
      x.shape.map((_, axis) => axis),
    ),
    [],
  );
}

/**
 * Repeats x along axes of length 1 and along new axes in front.
 * dx = the sum of d over what was repeated.
 */
export function broadcastTo(x: Expression, shape: Shape): Expression {
  if (isSame(x.shape, shape)) return x;
  return expression({
    shape,
    inputs: [x],
    emit: (g, [value], name) => g.node('Expand', [value!, integers(g, shape)], { outputs: [name] }),
    gradient: (d) => [sumTo(d, x.shape)],
  });
}

/** Undoes a broadcast: the sum of x over the axes that `shape` lacks or has with length 1. */
export function sumTo(x: Expression, shape: Shape): Expression {
  if (isSame(x.shape, shape)) return x;
  const added = x.shape.length - shape.length;
  const axes = x.shape.flatMap((length, axis) =>
    axis < added || (shape[axis - added] === 1 && length !== 1) ? [axis] : [],
  );
  const sum = reduceSum(x, axes);
  if (sizeOf(sum.shape) !== sizeOf(shape))
    throw new RangeError(`[${x.shape}] is no broadcast of [${shape}].`);
  return reshape(sum, shape);
}

function isSame(a: Shape, b: Shape): boolean {
  return a.length === b.length && a.every((length, axis) => length === b[axis]);
}
