import { GraphBuilder, type NodeOptions } from '../onnx/graph.ts';

/** Logits of some pieces of the vocabulary, and their log-sum-exp: hidden [tokens, width], head rows [rows, width]. */
export function logitsGraph(width: number): Uint8Array {
  const g = new GraphBuilder();
  const hidden = g.input('hidden', 'float32', ['tokens', width]);
  const weight = g.input('weight', 'float32', ['rows', width]);
  // Gemm with its transpose flag is the runtime's fastest float32 product.
  g.node('Gemm', [hidden, weight], { attributes: { transB: 1 }, outputs: ['logits'] });
  // Four times as fast as ReduceLogSumExp, whose kernel is not vectorized.
  const axis = g.constant('axis', 'int64', [1], BigInt64Array.of(-1n));
  const highest = g.node('ReduceMax', ['logits', axis]);
  const sum = g.node('ReduceSum', [g.node('Exp', [g.node('Sub', ['logits', highest])]), axis]);
  g.node('Add', [highest, g.node('Log', [sum])], { outputs: ['logsumexp'] });
  g.output('logits', 'float32', ['tokens', 'rows']);
  g.output('logsumexp', 'float32', ['tokens', 1]);
  return g.build('logits');
}

/**
 * dLoss/dLogits over a tile, without the targets' share: a p - b q, where p and q are the student's and the
 * teacher's probabilities. The factors a and b come inside the exponentials' shifts, which saves two
 * passes over the tile: studentShift [tokens, 1] = log-sum-exp - log a.
 * With a teacher also `divergence` [tokens], the tile's share of b sum q (teacher logit - student logit).
 */
export function logitGradientGraph(hasTeacher: boolean): Uint8Array {
  const g = new GraphBuilder();
  const tile = ['tokens', 'rows'];
  const probabilities = (side: string, options: NodeOptions = {}) => {
    const logits = g.input(`${side}.logits`, 'float32', tile);
    const shift = g.input(`${side}.shift`, 'float32', ['tokens', 1]);
    return { logits, scaled: g.node('Exp', [g.node('Sub', [logits, shift])], options) };
  };
  if (hasTeacher) {
    const student = probabilities('student');
    const teacher = probabilities('teacher');
    g.node('Sub', [student.scaled, teacher.scaled], { outputs: ['gradient'] });
    const difference = g.node('Sub', [teacher.logits, student.logits]);
    const axis = g.constant('axis', 'int64', [1], BigInt64Array.of(-1n));
    g.node('ReduceSum', [g.node('Mul', [teacher.scaled, difference]), axis], {
      attributes: { keepdims: 0 },
      outputs: ['divergence'],
    });
    g.output('divergence', 'float32', ['tokens']);
  } else {
    probabilities('student', { outputs: ['gradient'] });
  }
  g.output('gradient', 'float32', tile);
  return g.build('logit-gradient');
}

/**
 * sum + op(a) b: the products that carry a tile's gradient to the hidden states (`a` [tokens, rows]) or,
 * transposed, to the head. `sum` and `total` may be the same memory: Gemm copies the one to the other first.
 */
export function addProductGraph(transposed: boolean): Uint8Array {
  const g = new GraphBuilder();
  const a = g.input('a', 'float32', transposed ? ['k', 'm'] : ['m', 'k']);
  const b = g.input('b', 'float32', ['k', 'n']);
  const sum = g.input('sum', 'float32', ['m', 'n']);
  g.node('Gemm', [a, b, sum], { attributes: { transA: transposed ? 1 : 0 }, outputs: ['total'] });
  g.output('total', 'float32', ['m', 'n']);
  return g.build('add-product');
}

/** RMS norm: y = x / rms(x) * gamma, over rows of [tokens, width]. */
export function normGraph(width: number, epsilon: number): Uint8Array {
  const g = new GraphBuilder();
  const x = g.input('x', 'float32', ['tokens', width]);
  const gamma = g.input('gamma', 'float32', [width]);
  g.node('SimplifiedLayerNormalization', [x, gamma], {
    attributes: { axis: -1, epsilon: { float: epsilon }, stash_type: 1 },
    outputs: ['y'],
  });
  g.output('y', 'float32', ['tokens', width]);
  return g.build('norm');
}

/**
 * Its derivatives. With u = x / rms(x) and e = dLoss/dy * gamma: dx = (e - u mean(e u)) / rms(x), and
 * dgamma = sum over tokens of dLoss/dy * u.
 */
export function normGradientGraph(width: number, epsilon: number): Uint8Array {
  const g = new GraphBuilder();
  const x = g.input('x', 'float32', ['tokens', width]);
  const gamma = g.input('gamma', 'float32', [width]);
  const dy = g.input('dy', 'float32', ['tokens', width]);
  const last = g.constant('last', 'int64', [1], BigInt64Array.of(-1n));
  const first = g.constant('first', 'int64', [1], BigInt64Array.of(0n));
  const tiny = g.constant('epsilon', 'float32', [], Float32Array.of(epsilon));
  const meanSquare = g.node('ReduceMean', [g.node('Mul', [x, x]), last]);
  const scale = g.node('Reciprocal', [g.node('Sqrt', [g.node('Add', [meanSquare, tiny])])]);
  const unit = g.node('Mul', [x, scale]);
  const e = g.node('Mul', [dy, gamma]);
  const along = g.node('ReduceMean', [g.node('Mul', [e, unit]), last]);
  const across = g.node('Sub', [e, g.node('Mul', [unit, along])]);
  g.node('Mul', [across, scale], { outputs: ['dx'] });
  g.node('ReduceSum', [g.node('Mul', [dy, unit]), first], {
    attributes: { keepdims: 0 },
    outputs: ['dgamma'],
  });
  g.output('dx', 'float32', ['tokens', width]);
  g.output('dgamma', 'float32', [width]);
  return g.build('norm-gradient');
}
