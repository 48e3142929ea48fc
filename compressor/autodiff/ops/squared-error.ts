import { type Expression, sizeOf } from '../expression.ts';
import { multiply, scale, subtract } from './elementwise.ts';
import { sumAll } from './reduce.ts';

/** The mean of (a - b)² over all numbers, of shape []. da = 2 d (a - b) / n, db = -da, by its parts' rules. */
export function meanSquaredError(a: Expression, b: Expression): Expression {
  const difference = subtract(a, b);
  return scale(sumAll(multiply(difference, difference)), 1 / sizeOf(difference.shape));
}
