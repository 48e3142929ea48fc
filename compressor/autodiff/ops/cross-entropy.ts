import { type Expression, expectShape, expression } from '../expression.ts';
import { multiply } from './elementwise.ts';
import { integers } from './node.ts';
import { softmax } from './softmax.ts';

/**
 * The loss of each row in nats, y = log(sum(exp(x))) - x[target].
 * dx = d (softmax(x) - 1 at the target).
 *
 * @param logits [rows, classes]
 * @param targets [rows] int64, each from 0 to classes - 1
 * @returns [rows, 1]; weigh with 0 what does not count
 */
export function crossEntropy(logits: Expression, targets: Expression): Expression {
  const [rows] = logits.shape as [number, number];
  expectShape('crossEntropy, targets', targets.shape, [rows]);
  return expression({
    shape: [rows, 1],
    inputs: [logits, targets],
    emit: (g, [x, target], name) => {
      const total = g.node('ReduceLogSumExp', [x!, integers(g, [1])]);
      const column = g.node('Reshape', [target!, integers(g, [rows, 1])]);
      const picked = g.node('GatherElements', [x!, column], { attributes: { axis: 1 } });
      return g.node('Sub', [total, picked], { outputs: [name] });
    },
    gradient: (d) => [multiply(lessOneAt(softmax(logits), targets), d), undefined],
  });
}

/** Each row of x with 1 taken off at its target. Used in gradients only. */
function lessOneAt(x: Expression, targets: Expression): Expression {
  const rows = x.shape[0]!;
  return expression({
    shape: x.shape,
    inputs: [x, targets],
    emit: (g, [value, target], name) => {
      const column = g.node('Reshape', [target!, integers(g, [rows, 1])]);
      const ones = g.constant(`-1:${rows}`, 'float32', [rows, 1], new Float32Array(rows).fill(-1));
      return g.node('ScatterElements', [value!, column, ones], {
        outputs: [name],
        attributes: { axis: 1, reduction: 'add' },
      });
    },
  });
}
