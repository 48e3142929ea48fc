import { Tensor } from '../../artifact/onnxruntime/tensor.ts';
import { Gemm } from '../onnx/gemm.ts';

/**
 * Linear centred kernel alignment (Kornblith and others, arXiv 1905.00414): how alike two representations of the
 * same tokens are, whatever rotation or scale lies between them; 0 to 1.
 */
export class LinearCka implements Disposable {
  readonly #product = new Gemm({ transA: true });
  readonly #width: number;

  constructor(width: number) {
    this.#width = width;
  }

  /** |Yᵀ X|² / (|Xᵀ X| |Yᵀ Y|), in Frobenius norms. @param x as `centred` gives it */
  of(x: Centred, y: Centred): number {
    const cross = this.#norm(x.rows, y.rows);
    return x.size * y.size === 0 ? 0 : (cross * cross) / (x.size * y.size);
  }

  /** @param windows per window [tokens, width] */
  centred(windows: Float32Array[]): Centred {
    const width = this.#width;
    const rows = new Float32Array(windows.reduce((sum, { length }) => sum + length, 0));
    let at = 0;
    for (const window of windows) {
      rows.set(window, at);
      at += window.length;
    }
    const count = rows.length / width;
    const mean = new Float64Array(width);
    for (let i = 0; i < rows.length; i++) mean[i % width]! += rows[i]! / count;
    for (let i = 0; i < rows.length; i++) rows[i]! -= mean[i % width]!;
    return { rows, size: this.#norm(rows, rows) };
  }

  #norm(x: Float32Array, y: Float32Array): number {
    const width = this.#width;
    const shape = [x.length / width, width];
    const out = new Tensor(new Float32Array(width * width), [width, width]);
    this.#product.run(new Tensor(y, shape), new Tensor(x, shape), out, out);
    let square = 0;
    for (const value of out.data) square += value * value;
    return Math.sqrt(square);
  }

  [Symbol.dispose](): void {
    this.#product[Symbol.dispose]();
  }
}

/** Rows of tokens without their mean. */
export interface Centred {
  /** [tokens, width] */
  rows: Float32Array;
  /** |Xᵀ X| */
  size: number;
}
