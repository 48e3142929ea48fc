import { constant, type Expression, type Shape } from '../expression.ts';
import { node } from './node.ts';
import { sumTo } from './reduce.ts';

/** a + b, either broadcast to the other. da = d, db = d, summed over what was broadcast. */
export function add(a: Expression, b: Expression): Expression {
  return node('Add', [a, b], broadcast(a, b), (d) => [sumTo(d, a.shape), sumTo(d, b.shape)]);
}

/** a - b. da = d, db = -d. */
export function subtract(a: Expression, b: Expression): Expression {
  return node('Sub', [a, b], broadcast(a, b), (d) => [sumTo(d, a.shape), negate(sumTo(d, b.shape))]);
}

/** a * b, number by number. da = d * b, db = d * a. */
export function multiply(a: Expression, b: Expression): Expression {
  return node('Mul', [a, b], broadcast(a, b), (d) => [
    sumTo(multiply(d, b), a.shape),
    sumTo(multiply(d, a), b.shape),
  ]);
}

/** x * factor, which is fixed. dx = d * factor. */
export function scale(x: Expression, factor: number): Expression {
  return node('Mul', [x, constant(factor)], x.shape, (d) => [scale(d, factor), undefined]);
}

export function negate(x: Expression): Expression {
  return node('Neg', [x], x.shape, (d) => [negate(d)]);
}

/** Shapes align at their ends; an axis of length 1 or a missing one is repeated. */
function broadcast({ shape: a }: Expression, { shape: b }: Expression): Shape {
  const rank = Math.max(a.length, b.length);
  return Array.from({ length: rank }, (_, axis) => {
    const [m, n] = [a[axis - rank + a.length] ?? 1, b[axis - rank + b.length] ?? 1];
    if (m !== n && m !== 1 && n !== 1) throw new RangeError(`[${a}] and [${b}] do not broadcast.`);
    return Math.max(m, n);
  });
}
