import { constant, type Expression } from '../expression.ts';
import { add, multiply, scale, subtract } from './elementwise.ts';
import { contrib, node } from './node.ts';

/**
 * Both activations are y = x s with s = sigmoid(z(x)), so dx = d (s + y (1 - s) z').
 * SiLU: z = x, z' = 1.
 */
export function silu(x: Expression): Expression {
  // QuickGelu(x) = x sigmoid(alpha x).
  const y: Expression = node('QuickGelu', [x], x.shape, (d) => [gated(d, y, sigmoid(x))], {
    ...contrib,
    attributes: { alpha: { float: 1 } },
  });
  return y;
}

/**
 * GELU in its tanh form, y = x (1 + tanh(u)) / 2 = x sigmoid(2u), u = sqrt(2/π) (x + 0.044715 x³):
 * z = 2u, z' = 2 sqrt(2/π) (1 + 3 * 0.044715 x²).
 */
export function geluTanh(x: Expression): Expression {
  const slope = 2 * Math.sqrt(2 / Math.PI);
  const cubic = 0.044715 * slope;
  const y: Expression = node(
    'FastGelu',
    [x],
    x.shape,
    (d) => {
      const square = multiply(x, x);
      const z = multiply(x, add(scale(square, cubic), constant(slope)));
      return [gated(d, y, sigmoid(z), add(scale(square, 3 * cubic), constant(slope)))];
    },
    contrib,
  );
  return y;
}

/** dx from y = x s: d (s + y (1 - s) z'). */
function gated(d: Expression, y: Expression, s: Expression, zSlope?: Expression): Expression {
  const rest = multiply(y, subtract(constant(1), s));
  return multiply(d, add(s, zSlope ? multiply(rest, zSlope) : rest));
}

/** Used in gradients only: without a rule of its own. */
function sigmoid(x: Expression): Expression {
  return node('Sigmoid', [x], x.shape);
}
