import type { GraphBuilder, NodeOptions } from '../../onnx/graph.ts';
import { type Expression, expression, type Shape } from '../expression.ts';

/** An expression that is one ONNX node over all its inputs. */
export function node(
  operator: string,
  inputs: readonly Expression[],
  shape: Shape,
  gradient?: Expression['gradient'],
  options: Omit<NodeOptions, 'outputs'> = {},
): Expression {
  return expression({
    shape,
    inputs,
    emit: (g, values, name) => g.node(operator, values, { ...options, outputs: [name] }),
    ...(gradient && { gradient }),
  });
}

/** A list of integers as ONNX wants shapes and axes: a constant, one for all who ask for the same. */
export function integers(g: GraphBuilder, values: readonly number[]): string {
  return g.constant(
    `int64:${values.join(',')}`,
    'int64',
    [values.length],
    BigInt64Array.from(values, BigInt),
  );
}

/** The options of ONNX Runtime's own operators. */
export const contrib = { domain: 'com.microsoft' } as const;
