import { type Expression, expectShape } from './expression.ts';
import { add } from './ops/elementwise.ts';
import { inOrder } from './order.ts';

/**
 * Reverse mode: dLoss/dX for each X of `wanted`, as expressions.
 *
 * @param value what the loss depends on
 * @param seed dLoss/dValue, of the shape of `value`: the constant 1 where `value` is the loss itself
 * @param sums for some of `wanted`, what their gradients are added to
 * @throws RangeError where `value` does not depend on one of `wanted`, or not in a way that has a gradient
 */
export function gradients(
  value: Expression,
  seed: Expression,
  wanted: readonly Expression[],
  sums: ReadonlyMap<Expression, Expression> = new Map(),
): Expression[] {
  expectShape('the gradient of the value', seed.shape, value.shape);
  const order = inOrder([value]);
  const onPath = new Set<Expression>(wanted);
  for (const e of order) if (e.gradient && e.inputs.some((i) => onPath.has(i))) onPath.add(e);
  for (const [i, e] of wanted.entries()) {
    if (!order.includes(e)) throw new RangeError(`The value does not depend on number ${i} of the wanted.`);
  }

  const found = new Map<Expression, Expression>(sums);
  const addTo = (e: Expression, d: Expression, term: Expression) => {
    const before = found.get(e);
    // A rule may hand on `d` itself, which others use too: a product in it must not be computed twice.
    const plus = term === d ? undefined : term.plus;
    found.set(e, before ? (plus?.(before) ?? add(before, term)) : term);
  };
  addTo(value, seed, seed);
  for (const e of order.reverse()) {
    const d = found.get(e);
    if (!d || !e.gradient || !e.inputs.some((i) => onPath.has(i))) continue;
    for (const [i, term] of e.gradient(d).entries()) {
      const of = e.inputs[i]!;
      if (!term || !onPath.has(of)) continue;
      expectShape('a gradient', term.shape, of.shape);
      addTo(of, d, term);
    }
  }
  return wanted.map((e, i) => {
    const d = found.get(e);
    if (!d || d === sums.get(e)) throw new RangeError(`No gradient reaches number ${i} of the wanted.`);
    return d;
  });
}
