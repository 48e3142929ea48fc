import { Tensor } from '../../artifact/onnxruntime/tensor.ts';
import { TruncatedSvd } from '../adapter/truncated-svd.ts';
import { Gemm } from '../onnx/gemm.ts';

/**
 * Orthonormal directions of a matrix's outputs and inputs. A matrix M has the coordinates U M Vᵀ in it; coordinates C
 * stand for the matrix Uᵀ C V.
 */
export interface GradientBasis {
  /** U, row-major [directions, outputs]: leading ones first. */
  outputs: Float32Array;
  /** V, row-major [directions, inputs]. */
  inputs: Float32Array;
}

/** Sums of G Gᵀ and of Gᵀ G over gradients of one shape, row-major. */
export interface GramSums {
  /** [outputs, outputs] */
  outputs: Float32Array;
  /** [inputs, inputs] */
  inputs: Float32Array;
}

export type Shape2 = [rows: number, columns: number];

/** Moves matrices of one shape to coordinates in a basis and back, by the runtime's products. */
export class BasisChange implements Disposable {
  readonly #plain = new Gemm();
  readonly #transposedA = new Gemm({ transA: true });
  readonly #transposedB = new Gemm({ transB: true });
  readonly #svd = new TruncatedSvd();

  /** Adds a gradient to the sums that a basis is found from. @param gradient row-major, of `shape` */
  addTo(sums: GramSums, gradient: Float32Array, shape: Shape2): void {
    const g = new Tensor(gradient, shape);
    const [rows, columns] = [
      new Tensor(sums.outputs, square(shape[0])),
      new Tensor(sums.inputs, square(shape[1])),
    ];
    this.#transposedB.run(g, g, rows, rows);
    this.#transposedA.run(g, g, columns, columns);
  }

  /**
   * Fills a basis with the leading eigenvectors of the sums: the higher-order singular value decomposition of all
   * gradients stacked. Directions in which there is no gradient are zeros.
   */
  find(sums: GramSums, basis: GradientBasis, [rows, columns]: Shape2): void {
    this.#eigenvectors(sums.outputs, basis.outputs, rows);
    this.#eigenvectors(sums.inputs, basis.inputs, columns);
  }

  /** @returns U M Vᵀ, [output directions, input directions] */
  coordinates(
    matrix: Float32Array,
    { outputs, inputs }: GradientBasis,
    [rows, columns]: Shape2,
  ): Float32Array {
    const m = new Tensor(matrix, [rows, columns]);
    const [u, v] = [directions(outputs, rows), directions(inputs, columns)];
    const [r, c] = [u.shape[0]!, v.shape[0]!];
    const out = zeros(r, c);
    // The narrower side first: what is left to multiply is smaller.
    if (rows < columns) {
      const half = zeros(r, columns);
      this.#plain.run(u, m, half, half);
      this.#transposedB.run(half, v, out, out);
    } else {
      const half = zeros(rows, c);
      this.#transposedB.run(m, v, half, half);
      this.#plain.run(u, half, out, out);
    }
    return out.data;
  }

  /** Adds Uᵀ C V to a matrix, in place. @param coordinates C, [output directions, input directions] */
  add(
    matrix: Float32Array,
    coordinates: Float32Array,
    { outputs, inputs }: GradientBasis,
    [rows, columns]: Shape2,
  ): void {
    const m = new Tensor(matrix, [rows, columns]);
    const [u, v] = [directions(outputs, rows), directions(inputs, columns)];
    const c = new Tensor(coordinates, [u.shape[0]!, v.shape[0]!]);
    if (rows < columns) {
      const half = zeros(u.shape[0]!, columns);
      this.#plain.run(c, v, half, half);
      this.#transposedA.run(u, half, m, m);
    } else {
      const half = zeros(rows, v.shape[0]!);
      this.#transposedA.run(u, c, half, half);
      this.#plain.run(half, v, m, m);
    }
  }

  #eigenvectors(gram: Float32Array, into: Float32Array, size: number): void {
    const count = into.length / size;
    const { up } = this.#svd.run(gram, square(size), count);
    // Columns of `up` are orthogonal whatever their length, which is the root of their singular value.
    for (let d = 0; d < count; d++) {
      let squares = 0;
      for (let i = 0; i < size; i++) squares += up[i * count + d]! ** 2;
      const factor = squares > 0 ? 1 / Math.sqrt(squares) : 0;
      for (let i = 0; i < size; i++) into[d * size + i] = up[i * count + d]! * factor;
    }
  }

  [Symbol.dispose](): void {
    for (const each of [this.#plain, this.#transposedA, this.#transposedB, this.#svd]) each[Symbol.dispose]();
  }
}

function directions(rows: Float32Array, length: number): Tensor<Float32Array> {
  return new Tensor(rows, [rows.length / length, length]);
}

function zeros(rows: number, columns: number): Tensor<Float32Array> {
  return new Tensor(new Float32Array(rows * columns), [rows, columns]);
}

function square(size: number): Shape2 {
  return [size, size];
}
