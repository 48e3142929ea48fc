import { type Expression, expectShape, expression } from '../expression.ts';
import { negate } from './elementwise.ts';
import { contrib, integers } from './node.ts';

/**
 * Turns the pairs (i, i + size/2) of each head by its position's angles:
 * y1 = x1 cos - x2 sin, y2 = x2 cos + x1 sin. dx = d, turned back: the same with -sin.
 *
 * @param x [batch, heads, tokens, size], positions from 0
 * @param cos [tokens, size/2], as is `sin`; they have no gradient
 */
export function rotary(x: Expression, cos: Expression, sin: Expression): Expression {
  const [, , tokens, size] = x.shape;
  for (const table of [cos, sin]) expectShape('rotary, table', table.shape, [tokens!, size! / 2]);
  return expression({
    shape: x.shape,
    inputs: [x, cos, sin],
    emit: (g, [value, cosine, sine], name) =>
      // A single position id is that of the first token.
      g.node('RotaryEmbedding', [value!, integers(g, [0]), cosine!, sine!], { ...contrib, outputs: [name] }),
    gradient: (d) => [rotary(d, cos, negate(sin)), undefined, undefined],
  });
}
