import { type BlockMatrix, blockMatrices } from '../graph/layer.ts';
import type { AdapterWeights } from './adapter.ts';
import { mapPools, type PoolName, type PoolValues, poolNames } from './adapter-pools.ts';
import {
  addHypercomplexGradient,
  type Hypercomplex,
  hypercomplexIdentity,
  hypercomplexMatrix,
} from './hypercomplex.ts';

/** What the layers' adapters of one kind of matrix have in common. */
export const commonParts = ['coefficients', 'relation', 'bases', 'factors'] as const;
type CommonPart = (typeof commonParts)[number];
type OfLayer = `layers.${number}.${PoolName}`;

/** By name: `layers.INDEX.MATRIX.down` and `.up`, `MATRIX.coefficients`, `.relation`, `.bases` and `.factors`. */
export type OrchestraValues = Record<OfLayer | `${BlockMatrix}.${CommonPart}`, Float32Array>;

/**
 * Low-rank matrices of several layers that are trained together (cross-block orchestration, arXiv 2311.17112). Layer l
 * runs, of each kind of matrix,
 *
 *     W + up_l H diag(c'_l) down_l,    c'_l = Σ_j R[l, j] c_j
 *
 * with `up` [outputs, rank] and `down` [rank, inputs] of its own, a set of coefficients c_l [rank] of its own, and in
 * common with all others of the kind: the relation R [layers, layers], by which the layers' coefficients move each
 * other, and the head H [rank, rank], a hypercomplex matrix. It starts with c = 1, R and H the identity. What runs and is
 * stored is up_l H diag(c'_l) and down_l, as plain as any low-rank matrices.
 */
export class AdapterOrchestra {
  readonly kind = 'orchestra';
  /** Indices of the layers that have them, in the student's layers. */
  readonly layers: readonly number[];
  readonly rank: number;
  readonly values: OrchestraValues;

  private constructor(layers: readonly number[], rank: number, values: OrchestraValues) {
    this.layers = layers;
    this.rank = rank;
    this.values = values;
  }

  /**
   * @param starts by layer: the low-rank matrices that it is to run at first
   * @param components of the hypercomplex head, a divisor of the rank
   */
  static start(starts: ReadonlyMap<number, PoolValues>, rank: number, components: number): AdapterOrchestra {
    const layers = [...starts.keys()];
    const values: Partial<OrchestraValues> = {};
    for (const [index, matrices] of starts) {
      for (const name of poolNames) values[`layers.${index}.${name}`] = matrices[name];
    }
    for (const matrix of blockMatrices) {
      const relation = new Float32Array(layers.length ** 2);
      for (const place of layers.keys()) relation[place * layers.length + place] = 1;
      values[`${matrix}.coefficients`] = new Float32Array(layers.length * rank).fill(1);
      values[`${matrix}.relation`] = relation;
      const { bases, factors } = hypercomplexIdentity(components, rank);
      values[`${matrix}.bases`] = bases;
      values[`${matrix}.factors`] = factors;
    }
    return new AdapterOrchestra(layers, rank, values as OrchestraValues);
  }

  /** Of all that is trained; what is stored is less. */
  get parameters(): number {
    return Object.values(this.values).reduce((sum, { length }) => sum + length, 0);
  }

  /** The same over copies of the values. */
  copy(): AdapterOrchestra {
    const copies = Object.entries(this.values).map(([name, values]) => [name, values.slice()]);
    return new AdapterOrchestra(this.layers, this.rank, Object.fromEntries(copies) as OrchestraValues);
  }

  /** Zeros of the shapes of one layer's matrices: `down` [rank, inputs], `up` [outputs, rank]. */
  emptyMatrices(): PoolValues {
    const [first] = this.layers;
    return mapPools((name) => new Float32Array(this.values[`layers.${first!}.${name}`]!.length));
  }

  /**
   * A layer's matrices as they run.
   * @param into is filled; new memory where it is left out
   * @returns nothing for a layer that has none
   */
  assemble(layer: number, into?: PoolValues): AdapterWeights {
    const place = this.layers.indexOf(layer);
    if (place < 0) return {};
    const { values, rank } = this;
    const matrices = into ?? this.emptyMatrices();
    for (const matrix of blockMatrices) {
      matrices[`${matrix}.down`].set(values[`layers.${layer}.${matrix}.down`]!);
      const head = this.#head(matrix);
      const coefficients = this.#related(matrix, place);
      const up = values[`layers.${layer}.${matrix}.up`]!;
      const mixed = matrices[`${matrix}.up`];
      for (let row = 0; row < up.length; row += rank) {
        for (let c = 0; c < rank; c++) {
          let sum = 0;
          for (let k = 0; k < rank; k++) sum += up[row + k]! * head[k * rank + c]!;
          mixed[row + c] = sum * coefficients[c]!;
        }
      }
    }
    return matrices;
  }

  /**
   * The way back: adds the gradients of a layer's matrices as they run to those of what they are made of.
   * @param into gradients, in the form of `values`
   */
  scatter(layer: number, gradients: PoolValues, into: OrchestraValues): void {
    const place = this.layers.indexOf(layer);
    for (const matrix of blockMatrices) {
      add(into[`layers.${layer}.${matrix}.down`]!, gradients[`${matrix}.down`]);
      this.#scatterUp(matrix, layer, place, gradients[`${matrix}.up`], into);
    }
  }

  #scatterUp(
    matrix: BlockMatrix,
    layer: number,
    place: number,
    gradient: Float32Array,
    into: OrchestraValues,
  ): void {
    const { values, rank } = this;
    const head = this.#head(matrix);
    const coefficients = this.#related(matrix, place);
    const up = values[`layers.${layer}.${matrix}.up`]!;
    const ofUp = into[`layers.${layer}.${matrix}.up`]!;
    /** Of up H's product with the gradient, [rank, rank]: what head and coefficients have of all rows. */
    const across = new Float64Array(rank * rank);
    for (let row = 0; row < up.length; row += rank) {
      for (let k = 0; k < rank; k++) {
        const own = up[row + k]!;
        let sum = 0;
        for (let c = 0; c < rank; c++) {
          const value = gradient[row + c]!;
          sum += head[k * rank + c]! * coefficients[c]! * value;
          across[k * rank + c]! += own * value;
        }
        ofUp[row + k]! += sum;
      }
    }
    const ofHead = new Float64Array(rank * rank);
    const ofCoefficients = new Float64Array(rank);
    for (let i = 0; i < across.length; i++) {
      const c = i % rank;
      ofHead[i] = across[i]! * coefficients[c]!;
      ofCoefficients[c]! += across[i]! * head[i]!;
    }
    addHypercomplexGradient(hypercomplexOf(values, matrix), ofHead, rank, hypercomplexOf(into, matrix));
    this.#scatterCoefficients(matrix, place, ofCoefficients, into);
  }

  #scatterCoefficients(
    matrix: BlockMatrix,
    place: number,
    gradient: Float64Array,
    into: OrchestraValues,
  ): void {
    const { layers, rank, values } = this;
    const [all, relation] = [values[`${matrix}.coefficients`], values[`${matrix}.relation`]];
    const [ofAll, ofRelation] = [into[`${matrix}.coefficients`], into[`${matrix}.relation`]];
    for (const other of layers.keys()) {
      const at = place * layers.length + other;
      for (let c = 0; c < rank; c++) {
        ofRelation[at]! += gradient[c]! * all[other * rank + c]!;
        ofAll[other * rank + c]! += gradient[c]! * relation[at]!;
      }
    }
  }

  /** H, [rank, rank]. */
  #head(matrix: BlockMatrix): Float64Array {
    return hypercomplexMatrix(hypercomplexOf(this.values, matrix), this.rank);
  }

  /** A layer's coefficients once all layers have had their say, [rank]. */
  #related(matrix: BlockMatrix, place: number): Float64Array {
    const { layers, rank, values } = this;
    const [all, relation] = [values[`${matrix}.coefficients`], values[`${matrix}.relation`]];
    const related = new Float64Array(rank);
    for (const other of layers.keys()) {
      const weight = relation[place * layers.length + other]!;
      for (let c = 0; c < rank; c++) related[c]! += weight * all[other * rank + c]!;
    }
    return related;
  }
}

function hypercomplexOf(values: OrchestraValues, matrix: BlockMatrix): Hypercomplex {
  return { bases: values[`${matrix}.bases`], factors: values[`${matrix}.factors`] };
}

function add(into: Float32Array, values: Float32Array): void {
  for (let i = 0; i < into.length; i++) into[i]! += values[i]!;
}
