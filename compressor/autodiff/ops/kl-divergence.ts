import { type Expression, expectShape, expression } from '../expression.ts';
import { multiply, subtract } from './elementwise.ts';
import { integers } from './node.ts';
import { softmax } from './softmax.ts';

/**
 * KL(teacher || student) of each row in nats, y = sum of p (log p - log q), p = softmax(teacher),
 * q = softmax(student). dstudent = d (q - p); the teacher has no gradient.
 *
 * @param teacher logits [rows, classes], as is `student`
 * @returns [rows, 1]
 */
export function klDivergence(teacher: Expression, student: Expression): Expression {
  const [rows] = student.shape as [number, number];
  expectShape('klDivergence, teacher', teacher.shape, student.shape);
  return expression({
    shape: [rows, 1],
    inputs: [teacher, student],
    emit: (g, values, name) => {
      const [logP, logQ] = values.map((x) => g.node('LogSoftmax', [x], { attributes: { axis: -1 } }));
      const terms = g.node('Mul', [g.node('Exp', [logP!]), g.node('Sub', [logP!, logQ!])]);
      return g.node('ReduceSum', [terms, integers(g, [1])], { outputs: [name] });
    },
    gradient: (d) => [undefined, multiply(subtract(softmax(student), softmax(teacher)), d)],
  });
}
