import type { DataType, GraphBuilder } from '../onnx/graph.ts';

export type Shape = readonly number[];

/**
 * A tensor as a formula over others: what to compute, of which shape, and how a loss that depends on it
 * depends on its inputs. Nothing is computed here: `emit.ts` makes a graph of it, `gradients.ts` other
 * expressions. An expression that several others use is computed once.
 */
export interface Expression {
  readonly type: DataType;
  /** Known when the graph is built: batch and tokens are fixed for a session. */
  readonly shape: Shape;
  readonly inputs: readonly Expression[];
  /** Adds the nodes that compute it from the values of its inputs. @returns `name`, or an input's own. */
  emit(g: GraphBuilder, values: string[], name: string): string;
  /**
   * dLoss/dInput for each input, from `d` = dLoss/dOutput: each of the shape of its input, undefined where
   * none is defined (indices, masks). What nobody asks for never reaches the graph.
   */
  gradient?(d: Expression): (Expression | undefined)[];
  /** The same value with another of its shape added, where the operator does that at no cost. */
  plus?(term: Expression): Expression;
}

/** An operator: `type` is float32 unless said otherwise. */
export function expression(parts: Omit<Expression, 'type'> & { type?: DataType }): Expression {
  return { type: 'float32', ...parts };
}

/** A value that is given to each run under this name. */
export function input(name: string, shape: Shape, type: DataType = 'float32'): Expression {
  return expression({ type, shape, inputs: [], emit: (g) => g.input(name, type, [...shape]) });
}

/** Numbers that lie in the graph itself; a single one fills the shape. */
export function constant(values: Float32Array | number, shape: Shape = []): Expression {
  const data = typeof values === 'number' ? new Float32Array(sizeOf(shape)).fill(values) : values;
  expectSize('constant', data.length, shape);
  return expression({
    shape,
    inputs: [],
    emit: (g, _, name) => g.constant(name, 'float32', [...shape], data),
  });
}

export function sizeOf(shape: Shape): number {
  return shape.reduce((product, length) => product * length, 1);
}

/** @throws RangeError naming the operator, so that a wrong shape is found where it arises. */
export function expectSize(operator: string, size: number, shape: Shape): void {
  if (sizeOf(shape) !== size) {
    throw new RangeError(`${operator}: ${size} numbers were given for the shape [${shape}].`);
  }
}

/** @throws RangeError where the two shapes differ. */
export function expectShape(operator: string, actual: Shape, wanted: Shape): void {
  if (actual.length !== wanted.length || actual.some((length, i) => length !== wanted[i])) {
    throw new RangeError(`${operator}: the shape [${wanted}] was expected, and [${actual}] came.`);
  }
}
