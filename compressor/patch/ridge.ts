/**
 * Solves (gram + ridge * mean diagonal * I) X = right for X, by Cholesky's decomposition in float64.
 * @param gram row-major [size, size], symmetric, positive semidefinite; not changed
 * @param right row-major [size, columns]; not changed
 * @param ridge part of the mean diagonal that is added: bounds X where inputs hardly vary
 * @returns row-major [size, columns]
 * @throws RangeError where the matrix is not positive definite even so
 */
export function solveRidge(
  gram: Float64Array,
  right: Float64Array,
  size: number,
  columns: number,
  ridge: number,
): Float64Array {
  const lower = cholesky(gram, size, ridge);
  const x = right.slice();
  // L z = right, then Lᵀ x = z; rows of x are contiguous, so the inner loops run along them.
  for (let i = 0; i < size; i++) {
    for (let k = 0; k < i; k++) subtractRow(x, columns, i, k, lower[i * size + k]!);
    scaleRow(x, columns, i, 1 / lower[i * size + i]!);
  }
  for (let i = size - 1; i >= 0; i--) {
    scaleRow(x, columns, i, 1 / lower[i * size + i]!);
    for (let k = 0; k < i; k++) subtractRow(x, columns, k, i, lower[i * size + k]!);
  }
  return x;
}

/**
 * The diagonal of gram (gram + added I)⁻¹, added being `ridge` times the mean diagonal: how little of each row the
 * others tell, from 0 to below 1.
 * @param gram, ridge as for `solveRidge`
 * @throws RangeError as `solveRidge`
 */
export function ridgeLeverageScores(gram: Float64Array, size: number, ridge: number): Float64Array {
  const lower = cholesky(gram, size, ridge);
  const added = ridge * meanDiagonal(gram, size);
  const scores = new Float64Array(size);
  const x = new Float64Array(size);
  // Of (L Lᵀ)⁻¹ the diagonal is the squares of L⁻¹'s columns, each solved for: L x = unit.
  for (let column = 0; column < size; column++) {
    let squares = 0;
    for (let i = column; i < size; i++) {
      let sum = i === column ? 1 : 0;
      for (let k = column; k < i; k++) sum -= lower[i * size + k]! * x[k]!;
      x[i] = sum / lower[i * size + i]!;
      squares += x[i]! ** 2;
    }
    scores[column] = 1 - added * squares;
  }
  return scores;
}

function meanDiagonal(gram: Float64Array, size: number): number {
  let trace = 0;
  for (let i = 0; i < size; i++) trace += gram[i * size + i]!;
  return trace / size;
}

/** The lower triangle L with L Lᵀ = gram + ridge * mean diagonal * I. */
function cholesky(gram: Float64Array, size: number, ridge: number): Float64Array {
  const added = ridge * meanDiagonal(gram, size);
  const lower = new Float64Array(size * size);
  for (let i = 0; i < size; i++) {
    for (let j = 0; j <= i; j++) {
      let sum = gram[i * size + j]! + (i === j ? added : 0);
      for (let k = 0; k < j; k++) sum -= lower[i * size + k]! * lower[j * size + k]!;
      if (i !== j) lower[i * size + j] = sum / lower[j * size + j]!;
      else if (sum > 0) lower[i * size + i] = Math.sqrt(sum);
      else throw new RangeError(`Row ${i} of ${size} depends on those before it: a larger ridge is needed.`);
    }
  }
  return lower;
}

function subtractRow(x: Float64Array, columns: number, from: number, row: number, factor: number): void {
  if (factor === 0) return;
  const [target, source] = [from * columns, row * columns];
  for (let c = 0; c < columns; c++) x[target + c]! -= factor * x[source + c]!;
}

function scaleRow(x: Float64Array, columns: number, row: number, factor: number): void {
  for (let c = row * columns; c < (row + 1) * columns; c++) x[c]! *= factor;
}
