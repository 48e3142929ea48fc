import { Tensor } from '../../artifact/onnxruntime/tensor.ts';
import { Gemm } from '../onnx/gemm.ts';

/** Tokens whose inputs are multiplied at once: enough to keep the cores busy, 40 MB at 4,864 inputs. */
const batchTokens = 2048;

/**
 * What a matrix's inputs have in common: the sum over tokens of x xᵀ. An error E of the weights costs
 * trace(E H Eᵀ) in the matrix's outputs.
 *
 * Every token's x is first scaled to unit mean square. A few massive activations (those of the first
 * token, mostly) would own the sum otherwise, and the weights would be fitted to them alone: with the
 * plain sum, perplexity rises above that of rounding to nearest.
 */
export class Hessian implements Disposable {
  /** Number of inputs. */
  readonly size: number;
  /** Row-major [size, size], both halves. */
  readonly values: Float32Array;
  /** Sum over tokens of the size of each input, |x|; [size] */
  readonly magnitudes: Float64Array;
  readonly #sum: Tensor;
  readonly #batch: Float32Array;
  #tokens = 0;
  readonly #gemm = new Gemm({ transA: true });

  constructor(size: number) {
    this.size = size;
    this.values = new Float32Array(size * size);
    this.magnitudes = new Float64Array(size);
    this.#sum = new Tensor(this.values, [size, size]);
    this.#batch = new Float32Array(batchTokens * size);
  }

  /** @param inputs [tokens, size] */
  add(inputs: Float32Array): void {
    const { size } = this;
    for (let start = 0; start < inputs.length; start += size) {
      let squares = 0;
      for (let i = start; i < start + size; i++) squares += inputs[i]! * inputs[i]!;
      const factor = squares === 0 ? 0 : Math.sqrt(size / squares);
      const row = this.#tokens * size;
      for (let i = 0; i < size; i++) {
        const value = inputs[start + i]! * factor;
        this.#batch[row + i] = value;
        this.magnitudes[i]! += Math.abs(value);
      }
      if (++this.#tokens === batchTokens) this.flush();
    }
  }

  /** Takes in what was added since the last time; to be called before `values` are read. */
  flush(): void {
    if (this.#tokens === 0) return;
    const shape = [this.#tokens, this.size];
    const x = new Tensor(this.#batch.subarray(0, this.#tokens * this.size), shape);
    this.#gemm.run(x, x, this.#sum, this.#sum);
    this.#tokens = 0;
  }

  [Symbol.dispose](): void {
    this.#gemm[Symbol.dispose]();
  }
}
