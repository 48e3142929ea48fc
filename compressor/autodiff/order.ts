import type { Expression } from './expression.ts';

/**
 * All expressions that `outputs` depend on, each once and after its inputs.
 * @param given what is known already: its inputs are not asked for
 */
export function inOrder(outputs: readonly Expression[], given?: ReadonlySet<Expression>): Expression[] {
  const done = new Set<Expression>();
  // A stack of its own: a chain of additions can be deeper than the call stack.
  const stack = outputs.map((e) => ({ e, inputsDone: false })).reverse();
  while (stack.length > 0) {
    const { e, inputsDone } = stack.pop()!;
    if (done.has(e)) continue;
    if (inputsDone) {
      done.add(e);
      continue;
    }
    stack.push({ e, inputsDone: true });
    if (given?.has(e)) continue;
    for (const i of [...e.inputs].reverse()) if (!done.has(i)) stack.push({ e: i, inputsDone: false });
  }
  return [...done];
}
