import { GraphBuilder } from '../onnx/graph.ts';
import type { Expression } from './expression.ts';
import { inOrder } from './order.ts';

/**
 * The ONNX model that computes `outputs` by name. Its inputs are those that the outputs depend on.
 *
 * @param name of the graph, for the runtime's messages
 * @param given values that are inputs instead of being computed, such as activations of an earlier run
 */
export function emitModel(
  name: string,
  outputs: Record<string, Expression>,
  given: Record<string, Expression> = {},
): Uint8Array {
  const givenNames = new Map(Object.entries(given).map(([input, e]) => [e, input]));
  const g = new GraphBuilder();
  const names = new Map<Expression, string>();
  for (const [output, e] of Object.entries(outputs)) {
    // A computed value carries its output's name: no node is spent on renaming.
    if (e.inputs.length > 0 && !names.has(e)) names.set(e, output);
  }
  const values = new Map<Expression, string>();
  for (const e of inOrder(Object.values(outputs), new Set(givenNames.keys()))) {
    const givenName = givenNames.get(e);
    if (givenName !== undefined) {
      values.set(e, g.input(givenName, e.type, [...e.shape]));
      continue;
    }
    const own = names.get(e) ?? `e${values.size}`;
    values.set(
      e,
      e.emit(
        g,
        e.inputs.map((i) => values.get(i)!),
        own,
      ) ?? own,
    );
  }
  for (const [output, e] of Object.entries(outputs)) {
    if (values.get(e) !== output) g.node('Identity', [values.get(e)!], { outputs: [output] });
    g.output(output, e.type, [...e.shape]);
  }
  return g.build(name);
}
