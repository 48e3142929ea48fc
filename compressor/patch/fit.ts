import { Tensor } from '../../artifact/onnxruntime/tensor.ts';
import { Gemm } from '../onnx/gemm.ts';
import type { LinearPatch } from '../student/student.ts';
import { solveRidge } from './ridge.ts';

/** Part of the mean diagonal added to the normal equations. */
const ridge = 1e-4;

/**
 * Least squares for h + weight h + bias = target, in closed form.
 *
 * Every token is scaled to unit mean square first: the massive states of the first tokens would own the
 * sum otherwise. They must be in it, though: a patch fitted without them breaks the attention sink.
 */
class PatchFit implements Disposable {
  readonly #width: number;
  /** Sums over tokens, of [h, 1] with itself and with target - h. */
  readonly #gram: Tensor<Float32Array>;
  readonly #cross: Tensor<Float32Array>;
  readonly #gemm = new Gemm({ transA: true });

  constructor(width: number) {
    this.#width = width;
    this.#gram = new Tensor(new Float32Array((width + 1) ** 2), [width + 1, width + 1]);
    this.#cross = new Tensor(new Float32Array((width + 1) * width), [width + 1, width]);
  }

  /**
   * @param states what the patch is given, [tokens, width]
   * @param targets what it should give, [tokens, width]
   */
  add(states: Float32Array, targets: Float32Array): void {
    const width = this.#width;
    const tokens = states.length / width;
    const x = new Float32Array(tokens * (width + 1));
    const y = new Float32Array(tokens * width);
    for (let t = 0; t < tokens; t++) {
      const row = t * width;
      let squares = 0;
      for (let i = row; i < row + width; i++) squares += states[i]! * states[i]!;
      const factor = Math.sqrt(width / (squares || 1));
      for (let i = 0; i < width; i++) {
        x[t * (width + 1) + i] = states[row + i]! * factor;
        y[row + i] = (targets[row + i]! - states[row + i]!) * factor;
      }
      x[t * (width + 1) + width] = factor;
    }
    const inputs = new Tensor(x, [tokens, width + 1]);
    this.#gemm.run(inputs, inputs, this.#gram, this.#gram);
    this.#gemm.run(inputs, new Tensor(y, [tokens, width]), this.#cross, this.#cross);
  }

  solve(): LinearPatch {
    const width = this.#width;
    const gram = Float64Array.from(this.#gram.data);
    const solution = solveRidge(gram, Float64Array.from(this.#cross.data), width + 1, width, ridge);
    const weight = new Float32Array(width * width);
    for (let input = 0; input < width; input++)
      for (let output = 0; output < width; output++)
        weight[output * width + input] = solution[input * width + output]!;
    return { weight, bias: Float32Array.from(solution.subarray(width * width)) };
  }

  [Symbol.dispose](): void {
    this.#gemm[Symbol.dispose]();
  }
}

/** The patch that brings `states` closest to `targets`, sequence by sequence. */
export function fitPatch(width: number, states: Float32Array[], targets: Float32Array[]): LinearPatch {
  const fit = new PatchFit(width);
  try {
    states.forEach((state, i) => {
      fit.add(state, targets[i]!);
    });
    return fit.solve();
  } finally {
    fit[Symbol.dispose]();
  }
}
