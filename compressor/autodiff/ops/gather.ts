import { type Expression, expectShape, expression, type Shape } from '../expression.ts';
import { integers, node } from './node.ts';
import { reshape } from './shape.ts';

/**
 * Rows of a table, y[i] = table[indices[i]]: an embedding.
 * dtable = d, each row added to the one it was taken from.
 *
 * @param table [rows, columns]
 * @param indices [n] int64, each from 0 to rows - 1
 */
export function gather(table: Expression, indices: Expression): Expression {
  const [n] = indices.shape;
  expectShape('gather, indices', indices.shape, [n!]);
  return node('Gather', [table, indices], [n!, table.shape[1]!], (d) => [
    scatterAdd(table.shape, indices, d),
    undefined,
  ]);
}

/** Zeros of `shape`, with each row of d added at its index. Used in gradients only. */
function scatterAdd(shape: Shape, indices: Expression, d: Expression): Expression {
  return expression({
    shape,
    inputs: [reshape(indices, [...indices.shape, 1]), d],
    emit: (g, [index, updates], name) => {
      const zeros = g.node('ConstantOfShape', [integers(g, shape)]);
      return g.node('ScatterND', [zeros, index!, updates!], {
        outputs: [name],
        attributes: { reduction: 'add' },
      });
    },
  });
}
