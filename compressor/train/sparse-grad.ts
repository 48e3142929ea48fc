import { UsageError } from '../../artifact/errors.ts';
import { type Architecture, architectureOfBlock } from '../checkpoint/architecture.ts';
import { betweenSteps } from '../forward/between-steps.ts';
import { type BlockMatrix, matrixShape } from '../graph/layer.ts';
import type { Student } from '../student/student.ts';
import { AdamW, type AdamWOptions, type Parameter } from './adamw.ts';
import { BasisChange, type GradientBasis, type GramSums, type Shape2 } from './gradient-basis.ts';
import type { Optimizer, PrepareOptions } from './optimizer.ts';
import type { State } from './state-file.ts';

/** The matrices whose gradients are made sparse. */
export const sparseMatrices = ['gate', 'up', 'down'] as const satisfies readonly BlockMatrix[];
type SparseKind = (typeof sparseMatrices)[number];

/** How much of each kind of matrix is kept, known from its shape. */
export interface SparseSize {
  shape: Shape2;
  /** Directions of outputs and inputs: the corner of coordinates among which those to keep are chosen. */
  corner: Shape2;
  /** Coordinates kept of each matrix. */
  kept: number;
}

/** The corner is so many times as wide and high as one that holds what is kept and nothing else. */
const cornerFactor = 2;

/** Directions a side, at most: finding them takes time by their number's square, two minutes for 512 of 8,192. */
const maxDirections = 512;

/**
 * @param share of a matrix's coordinates that is kept, above 0 to 1
 * @throws UsageError where that is more than there is to choose from
 */
export function sparseSize(a: Architecture, kind: SparseKind, share: number): SparseSize {
  const shape = matrixShape(a, kind);
  const sides = shape.map((size) => Math.ceil(cornerFactor * Math.sqrt(share) * size));
  const corner = shape.map((size, i) => Math.min(size, sides[i]!, maxDirections)) as Shape2;
  const kept = Math.max(1, Math.round(share * shape[0] * shape[1]));
  const candidates = corner[0] * corner[1];
  if (kept > candidates) {
    const most = Math.floor((1e4 * candidates) / shape[0] / shape[1]) / 1e4;
    throw new UsageError(
      `A share of ${share} of ${shape[0]} x ${shape[1]} gradients is ${kept} numbers, chosen from ${candidates}: ` +
        `keep ${most} or less.`,
    );
  }
  return { shape, corner, kept };
}

/**
 * The architecture that all blocks of a student have: matrices of a kind are looked at in one basis, so they have one
 * shape.
 * @throws UsageError where some blocks are narrower than others
 */
export function commonArchitecture({
  architecture,
  widths,
}: Pick<Student, 'architecture' | 'widths'>): Architecture {
  if (new Set(widths).size > 1) {
    throw new UsageError(
      '--optimizer sparsegrad looks at the MLPs of all blocks in one basis, and these have several widths ' +
        `(${[...new Set(widths)].join(', ')}): take adamw, or give all blocks one width.`,
    );
  }
  return architectureOfBlock(architecture, widths, 0);
}

/** One matrix of a block, and the coordinates of it that are trained. */
interface SparseParameter {
  matrix: Parameter;
  kind: SparseKind;
  /** Of the kept coordinates in the corner, row-major, ascending. Whole numbers. */
  positions: Float32Array;
  /** The kept coordinates: what AdamW sees. */
  kept: Parameter;
}

/** Steps' worth of gradients that bases are found from; as many choose what is kept. */
const rounds = 4;

/**
 * AdamW in whose steps MLP matrices move along few coordinates (SparseGrad, arXiv 2410.07383): in a basis found from
 * the first gradients of all matrices of a kind, some hundredths of a gradient's coordinates hold much of it. Those
 * with the largest sum of squares over some further gradients are kept, each matrix its own: AdamW has moments of these
 * alone, and the weights change along them alone. All other parameters are trained as by `AdamW`. (The paper chooses
 * anew at every step, by the largest of that step's gradient.)
 */
export class SparseGrad implements Optimizer {
  readonly #adamw: AdamW;
  readonly #change = new BasisChange();
  readonly #sizes: Record<SparseKind, SparseSize>;
  readonly #bases: Record<SparseKind, GradientBasis>;
  readonly #sparse: SparseParameter[];

  /**
   * @param parameters of which those with `matrix` gate, up or down are made sparse
   * @param share of their coordinates that is kept, above 0 to 1
   */
  constructor(
    parameters: readonly Parameter[],
    architecture: Architecture,
    share: number,
    options: AdamWOptions = {},
  ) {
    this.#sizes = byKind((kind) => sparseSize(architecture, kind, share));
    this.#bases = byKind((kind) => {
      const { shape, corner } = this.#sizes[kind];
      return {
        outputs: new Float32Array(corner[0] * shape[0]),
        inputs: new Float32Array(corner[1] * shape[1]),
      };
    });
    this.#sparse = [];
    const dense: Parameter[] = [];
    for (const parameter of parameters) {
      const kind = sparseMatrices.find((name) => name === parameter.matrix);
      if (kind) this.#sparse.push(sparseParameter(parameter, kind, this.#sizes[kind].kept));
      else dense.push(parameter);
    }
    this.#adamw = new AdamW([...dense, ...this.#sparse.map(({ kept }) => kept)], options);
  }

  get steps(): number {
    return this.#adamw.steps;
  }

  set steps(steps: number) {
    this.#adamw.steps = steps;
  }

  get arrays(): State['arrays'] {
    return [
      ...sparseMatrices.flatMap((kind): State['arrays'] => [
        [`basis.${kind}.outputs`, this.#bases[kind].outputs],
        [`basis.${kind}.inputs`, this.#bases[kind].inputs],
      ]),
      ...this.#sparse.flatMap(({ matrix, positions }): State['arrays'] => [
        [`${matrix.name}.values`, matrix.values],
        [`${matrix.name}.positions`, positions],
      ]),
      ...this.#adamw.arrays,
    ];
  }

  /** Finds the bases and what is kept. */
  async prepare({ gradients, onProgress, signal }: PrepareOptions): Promise<void> {
    const sums = byKind((kind): GramSums => {
      const [outputs, inputs] = this.#sizes[kind].shape;
      return { outputs: new Float32Array(outputs * outputs), inputs: new Float32Array(inputs * inputs) };
    });
    for (let round = 0; round < rounds; round++) {
      onProgress?.(round, 2 * rounds);
      await gradients();
      for (const { matrix, kind } of this.#sparse)
        this.#change.addTo(sums[kind], matrix.gradient, this.#sizes[kind].shape);
    }
    for (const kind of sparseMatrices) {
      await betweenSteps(signal);
      this.#change.find(sums[kind], this.#bases[kind], this.#sizes[kind].shape);
    }

    const squares = this.#sparse.map(({ kind }) => {
      const [outputs, inputs] = this.#sizes[kind].corner;
      return new Float32Array(outputs * inputs);
    });
    for (let round = rounds; round < 2 * rounds; round++) {
      onProgress?.(round, 2 * rounds);
      await gradients();
      for (const [i, { matrix, kind }] of this.#sparse.entries()) {
        const found = this.#coordinates(matrix.gradient, kind);
        for (let k = 0; k < found.length; k++) squares[i]![k]! += found[k]! ** 2;
      }
    }
    for (const [i, { matrix, kind, positions, kept }] of this.#sparse.entries()) {
      positions.set(largest(squares[i]!, positions.length));
      gather(this.#coordinates(matrix.values, kind), positions, kept.values);
    }
    onProgress?.(2 * rounds, 2 * rounds);
  }

  step(learningRate: number): number {
    for (const { matrix, kind, positions, kept } of this.#sparse)
      gather(this.#coordinates(matrix.gradient, kind), positions, kept.gradient);
    const before = this.#sparse.map(({ kept }) => kept.values.slice());
    const norm = this.#adamw.step(learningRate);
    for (const [i, { matrix, kind, positions, kept }] of this.#sparse.entries()) {
      const { shape, corner } = this.#sizes[kind];
      const moved = new Float32Array(corner[0] * corner[1]);
      for (const [k, position] of positions.entries()) moved[position] = kept.values[k]! - before[i]![k]!;
      this.#change.add(matrix.values, moved, this.#bases[kind], shape);
    }
    return norm;
  }

  #coordinates(matrix: Float32Array, kind: SparseKind): Float32Array {
    return this.#change.coordinates(matrix, this.#bases[kind], this.#sizes[kind].shape);
  }

  [Symbol.dispose](): void {
    this.#adamw[Symbol.dispose]();
    this.#change[Symbol.dispose]();
  }
}

function sparseParameter(matrix: Parameter, kind: SparseKind, count: number): SparseParameter {
  const kept: Parameter = {
    name: `${matrix.name}.kept`,
    values: new Float32Array(count),
    gradient: new Float32Array(count),
    kind: 'matrix',
    // AdamW moves every number about as far: fewer of them move further, so that a matrix moves as far as whole.
    rate: Math.sqrt(matrix.values.length / count),
  };
  return { matrix, kind, positions: new Float32Array(count), kept };
}

function gather(coordinates: Float32Array, positions: Float32Array, into: Float32Array): void {
  for (const [k, position] of positions.entries()) into[k] = coordinates[position]!;
}

/** Places of the `count` largest values, ascending; of equal ones the first. */
function largest(values: Float32Array, count: number): Float32Array {
  const order = Uint32Array.from(values.keys()).sort((a, b) => values[b]! - values[a]! || a - b);
  return Float32Array.from(order.subarray(0, count)).sort();
}

function byKind<Value>(make: (kind: SparseKind) => Value): Record<SparseKind, Value> {
  return Object.fromEntries(sparseMatrices.map((kind) => [kind, make(kind)])) as Record<SparseKind, Value>;
}
