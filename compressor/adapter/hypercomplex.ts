/**
 * A square matrix of parameterized hypercomplex multiplication (Zhang et al., arXiv 2102.08597): the sum over n
 * components of the Kronecker products of a basis [n, n] and a factor [size / n, size / n]. With the bases below and
 * n = 4 it is multiplication by quaternions; trained bases may become others. It has n³ + size² / n numbers.
 */
export interface Hypercomplex {
  /** Row-major [n, n, n]: a basis for each component. */
  bases: Float32Array;
  /** Row-major [n, size / n, size / n]. */
  factors: Float32Array;
}

/** Numbers of components for which there are bases: complex numbers for 2, quaternions for 4. */
export const componentCounts = [4, 2, 1] as const;

/** Signs of the units' matrices (1, i, j, k, multiplying from the left) by row; in row r of unit u it is column r xor u. */
const signs = [
  [1, 1, 1, 1],
  [-1, 1, -1, 1],
  [-1, 1, 1, -1],
  [-1, -1, 1, 1],
];

/** The identity: the real component's factor is one, the others' are zero, and wait behind bases that are not. */
export function hypercomplexIdentity(components: number, size: number): Hypercomplex {
  const bases = new Float32Array(components ** 3);
  for (let unit = 0; unit < components; unit++) {
    for (let row = 0; row < components; row++)
      bases[(unit * components + row) * components + (row ^ unit)] = signs[unit]![row]!;
  }
  const part = size / components;
  const factors = new Float32Array(components * part * part);
  for (let i = 0; i < part; i++) factors[i * part + i] = 1;
  return { bases, factors };
}

/** The matrix, row-major [size, size]. */
export function hypercomplexMatrix({ bases, factors }: Hypercomplex, size: number): Float64Array {
  const matrix = new Float64Array(size * size);
  eachTerm(bases.length, size, (at, basis, factor) => {
    matrix[at]! += bases[basis]! * factors[factor]!;
  });
  return matrix;
}

/**
 * The way back.
 * @param gradient of the matrix
 * @param into gradients of bases and factors, which are added to
 */
export function addHypercomplexGradient(
  { bases, factors }: Hypercomplex,
  gradient: Float64Array,
  size: number,
  into: Hypercomplex,
): void {
  eachTerm(bases.length, size, (at, basis, factor) => {
    into.bases[basis]! += factors[factor]! * gradient[at]!;
    into.factors[factor]! += bases[basis]! * gradient[at]!;
  });
}

/** What each number of the matrix is the sum of. @param cubed components, to the third power */
function eachTerm(
  cubed: number,
  size: number,
  visit: (at: number, basis: number, factor: number) => void,
): void {
  const n = Math.round(Math.cbrt(cubed));
  const part = size / n;
  for (let row = 0; row < size; row++) {
    for (let column = 0; column < size; column++) {
      const basis = Math.floor(row / part) * n + Math.floor(column / part);
      const factor = (row % part) * part + (column % part);
      for (let k = 0; k < n; k++) visit(row * size + column, k * n * n + basis, k * part * part + factor);
    }
  }
}
