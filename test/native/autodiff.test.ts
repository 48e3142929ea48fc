import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { Session } from '../../artifact/onnxruntime/session.ts';
import { Tensor } from '../../artifact/onnxruntime/tensor.ts';
import { emitModel } from '../../compressor/autodiff/emit.ts';
import { constant, type Expression, input, sizeOf } from '../../compressor/autodiff/expression.ts';
import { gradients } from '../../compressor/autodiff/gradients.ts';
import { add, multiply, scale } from '../../compressor/autodiff/ops/elementwise.ts';
import { gather } from '../../compressor/autodiff/ops/gather.ts';
import { matmul } from '../../compressor/autodiff/ops/matmul.ts';
import { sumAll } from '../../compressor/autodiff/ops/reduce.ts';
import { rmsNorm } from '../../compressor/autodiff/ops/rms-norm.ts';
import { softmax } from '../../compressor/autodiff/ops/softmax.ts';
import { inOrder } from '../../compressor/autodiff/order.ts';
import { operators } from '../fixtures/gradients/operators.ts';
import { relativeDifference } from '../fixtures/gradients/relative-difference.ts';
import { randomArray, seeded } from '../fixtures/random-checkpoint.ts';

interface Case {
  inputs: number[][];
  shape: number[];
  value: number[];
  gradients: (number[] | null)[];
}

const cases: Record<string, Case> = JSON.parse(
  await readFile(new URL('../fixtures/gradients/operators.json', import.meta.url), 'utf8'),
);

/** Computes expressions of some of these inputs. */
function evaluate(outputs: Record<string, Expression>, x: Expression[], values: Float32Array[]) {
  using session = new Session(emitModel('test', outputs), { threads: 1 });
  const tensors = Object.entries(outputs).map(
    ([name, e]) => [name, new Tensor(new Float32Array(sizeOf(e.shape)), e.shape)] as const,
  );
  const used = new Set(inOrder(Object.values(outputs)));
  const feeds = x.flatMap((e, i) =>
    used.has(e) ? [[`x${i}`, new Tensor(values[i]!, e.shape)] as const] : [],
  );
  session.run(Object.fromEntries(feeds), Object.fromEntries(tensors));
  return Object.fromEntries(tensors.map(([name, { data }]) => [name, data]));
}

const inputsOf = (shapes: number[][]) => shapes.map((shape, i) => input(`x${i}`, shape));
const dot = (a: Float32Array, b: Float32Array) => a.reduce((sum, value, i) => sum + value * b[i]!, 0);

it('tests every operator that has a golden, and the other way round', () => {
  expect(Object.keys(operators)).toEqual(Object.keys(cases));
});

describe.each(Object.entries(cases))('%s', (name, golden) => {
  const shapes = golden.inputs;
  const values = shapes.map((shape, i) => randomArray(sizeOf(shape), seeded(i + 1), 2));
  const weights = randomArray(sizeOf(golden.shape), seeded(99));
  const x = inputsOf(shapes);
  const y = operators[name]!(...(x as Parameters<(typeof operators)[string]>));
  // Rotary tables and a teacher's logits have none by design.
  const fixed = name === 'rotary' ? [1, 2] : name === 'KL divergence' ? [0] : [];
  const trained = shapes.map((_, i) => i).filter((i) => !fixed.includes(i));
  const derived = gradients(
    y,
    constant(weights, golden.shape),
    trained.map((i) => x[i]!),
  );

  it("gives PyTorch's value and gradients", () => {
    const outputs = Object.fromEntries(derived.map((e, i) => [`d${trained[i]}`, e]));
    const found = evaluate({ y, ...outputs }, x, values);
    expect(y.shape).toEqual(golden.shape);
    expect(relativeDifference(found.y!, golden.value)).toBeLessThan(1e-5);
    for (const i of trained) {
      expect(relativeDifference(found[`d${i}`]!, golden.gradients[i]!), `input ${i}`).toBeLessThan(1e-5);
    }
  });

  it('changes along a direction as its gradients say', () => {
    const step = 1e-2;
    const direction = shapes.map((shape, i) => randomArray(sizeOf(shape), seeded(50 + i)));
    const lossAt = (sign: number) => {
      const moved = values.map((array, i) =>
        trained.includes(i) ? array.map((value, j) => value + sign * step * direction[i]![j]!) : array,
      );
      return dot(evaluate({ y }, x, moved).y!, weights);
    };
    const found = evaluate(Object.fromEntries(derived.map((e, i) => [`d${trained[i]}`, e])), x, values);
    const slope = trained.reduce((sum, i) => sum + dot(found[`d${i}`]!, direction[i]!), 0);
    const measured = (lossAt(1) - lossAt(-1)) / (2 * step);
    expect(Math.abs(measured - slope)).toBeLessThan(2e-3 * Math.max(1, Math.abs(slope)));
  });
});

describe('reverse mode', () => {
  const shapes = [[3, 4], [4, 4], [4]];
  const values = shapes.map((shape, i) => randomArray(sizeOf(shape), seeded(i + 1)));

  it('adds up what reaches an input on several paths', () => {
    const x = input('x0', [3, 4]);
    // x² + 3x + x: 2x + 4
    const loss = sumAll(add(add(multiply(x, x), scale(x, 3)), x));
    const [d] = gradients(loss, constant(1), [x]);
    const found = evaluate({ d: d! }, [x], [values[0]!]).d!;
    expect(
      relativeDifference(
        found,
        values[0]!.map((value) => 2 * value + 4),
      ),
    ).toBeLessThan(1e-6);
  });

  it('adds gradients to what is there already, in place', () => {
    const [x, w] = inputsOf(shapes) as [Expression, Expression];
    const y = matmul(x, w, { transposeB: true });
    const seed = constant(1, [3, 4]);
    const [plain] = gradients(y, seed, [w]);
    const sum = input('sum', [4, 4]);
    const [added] = gradients(y, seed, [w], new Map([[w, sum]]));
    const wanted = evaluate({ plain: plain! }, [x, w], values).plain!.map((value, i) => value + i);

    using session = new Session(emitModel('test', { added: added! }), { threads: 1 });
    const buffer = Float32Array.from({ length: 16 }, (_, i) => i);
    session.run(
      { x0: new Tensor(values[0]!, [3, 4]), sum: new Tensor(buffer, [4, 4]) },
      { added: new Tensor(buffer, [4, 4]) },
    );
    expect(relativeDifference(buffer, wanted)).toBeLessThan(1e-6);
  });

  it('asks the graph for nothing that no output needs', () => {
    const [x, w, gamma] = inputsOf(shapes) as [Expression, Expression, Expression];
    const y = matmul(rmsNorm(x, gamma, 1e-5), w);
    const [dGamma] = gradients(y, constant(1, [3, 4]), [gamma]);
    const model = Buffer.from(emitModel('test', { dGamma: dGamma! })).toString('latin1');
    // dGamma needs one product (d wᵀ), the gradient of w another, and the value itself a third.
    expect(model.split('Gemm').length - 1).toBe(1);
  });

  it('refuses an input that the value does not depend on, or has no gradient by', () => {
    const [x, w] = inputsOf(shapes) as [Expression, Expression];
    expect(() => gradients(softmax(x), x, [w])).toThrow('does not depend on number 0');
    const indices = input('i', [3], 'int64');
    const y = gather(x, indices);
    expect(() => gradients(y, y, [indices])).toThrow('No gradient reaches number 0');
  });
});

describe('shapes that do not fit', () => {
  const [a, b] = [input('x0', [3, 4]), input('x1', [5, 4])];
  it.each<[string, () => unknown]>([
    ['a matmul whose inner lengths differ', () => matmul(a, b)],
    ['an addition that does not broadcast', () => add(a, b)],
    ['a gamma of another length', () => rmsNorm(a, b, 1e-5)],
    ['a seed of another shape than the value', () => gradients(a, b, [a])],
  ])('are refused: %s', (_, build) => {
    expect(build).toThrow(RangeError);
  });
});
