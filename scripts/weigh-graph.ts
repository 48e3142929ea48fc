import { GraphBuilder } from '../compressor/onnx/graph.ts';

/**
 * Writes the file with the graph that weighs a vocabulary: the engine itself brings no library that builds graphs.
 *
 * Usage: node scripts/weigh-graph.ts > functions/engine/sampling/weigh-graph.ts
 */

const blockSize = 256;

/**
 * logits [blocks, blockSize] and the inverse temperature [] -> weights [blocks, blockSize], where the largest logit's
 * is 1, and by block the highest logit and the sum of weights, [blocks, 1] each.
 */
function buildWeighGraph(): Uint8Array {
  const g = new GraphBuilder();
  const logits = g.input('logits', 'float32', ['blocks', blockSize]);
  const inverse = g.input('inverse', 'float32', []);
  const last = g.constant('last', 'int64', [1], BigInt64Array.of(-1n));
  const ofBlocks = g.node('ReduceMax', [logits, last], { outputs: ['highest'] });
  const highest = g.node('ReduceMax', [ofBlocks], { attributes: { keepdims: 0 } });
  const scaled = g.node('Mul', [g.node('Sub', [logits, highest]), inverse]);
  g.node('ReduceSum', [g.node('Exp', [scaled], { outputs: ['weights'] }), last], { outputs: ['sums'] });
  for (const [name, columns] of Object.entries({ weights: blockSize, highest: 1, sums: 1 }))
    g.output(name, 'float32', ['blocks', columns]);
  return g.build('weigh');
}

const base64 = Buffer.from(buildWeighGraph()).toString('base64');
const lines = base64.match(/.{1,100}/g)!.map((line) => `  '${line}'`);
process.stdout.write(`// Written by scripts/weigh-graph.ts, which says what it computes.

/** Weights that are summed apart: a draw steps over such a block by one comparison. */
export const blockSize = ${blockSize};

/** An ONNX model. */
export const weighGraph: Uint8Array = Buffer.from(
${lines.join(' +\n  ')},
  'base64',
);
`);
