import type { Architecture } from '../checkpoint/architecture.ts';
import { type BlockMatrix, blockMatrices, matrixShape } from '../graph/layer.ts';
import type { AdapterForm, AdapterWeights, LowRankPart, PoolForm } from './adapter.ts';
import { drawShards, poolSize, type ShardTable } from './shard-table.ts';

/** The low-rank matrices of one kind, of all layers together. */
export type PoolName = `${BlockMatrix}.${LowRankPart}`;

/** By kind, row-major [shards, numbers of a shard]. */
export type PoolValues = Record<PoolName, Float32Array>;

/** An adapter's form whose low-rank matrices come from pools. */
export type PooledForm = AdapterForm & { pool: PoolForm };

/** A pool a kind of matrix and a side, in this order everywhere. */
export const poolNames = blockMatrices.flatMap((matrix): PoolName[] => [`${matrix}.down`, `${matrix}.up`]);

/** Numbers of one of the rank's vectors. */
function vectorLength(a: Architecture, name: PoolName): number {
  const [matrix, part] = name.split('.') as [BlockMatrix, LowRankPart];
  const [outputs, inputs] = matrixShape(a, matrix);
  return part === 'down' ? inputs : outputs;
}

/** Numbers of all pools of so many layers, and of the tables that say which shard lies where. */
export function poolsNumbers(
  a: Architecture,
  { rank, pool }: PooledForm,
  layers: number,
): { parameters: number; places: number } {
  const sum = { parameters: 0, places: 0 };
  for (const name of poolNames) {
    const { shards, size, pieces } = poolSize(vectorLength(a, name), rank, layers, pool);
    sum.parameters += shards * size;
    sum.places += layers * rank * pieces;
  }
  return sum;
}

/** The tables of all pools: which shard lies where in which layer. */
export function drawTables(
  a: Architecture,
  { rank, pool }: PooledForm,
  layers: number,
): Record<PoolName, ShardTable> {
  const drawn = poolNames.map((name, stream) => [
    name,
    drawShards(vectorLength(a, name), rank, layers, pool, stream),
  ]);
  return Object.fromEntries(drawn) as Record<PoolName, ShardTable>;
}

/** Low-rank matrices of several layers, put together from the shards of common pools. */
export class AdapterPools {
  readonly kind = 'pools';
  /** Indices of the layers that have them, in the student's layers. */
  readonly layers: readonly number[];
  readonly tables: Readonly<Record<PoolName, ShardTable>>;
  readonly values: PoolValues;

  constructor(layers: readonly number[], tables: AdapterPools['tables'], values: PoolValues) {
    this.layers = layers;
    this.tables = tables;
    this.values = values;
  }

  get parameters(): number {
    return Object.values(this.values).reduce((sum, { length }) => sum + length, 0);
  }

  /** The same tables over copies of the values. */
  copy(): AdapterPools {
    return new AdapterPools(
      this.layers,
      this.tables,
      mapPools((name) => this.values[name].slice()),
    );
  }

  /** Zeros of the shapes of one layer's matrices: `down` [rank, inputs], `up` [outputs, rank]. */
  emptyMatrices(): PoolValues {
    return mapPools((name) => {
      const { rank, pieces, size } = this.tables[name];
      return new Float32Array(rank * pieces * size);
    });
  }

  /**
   * A layer's matrices.
   * @param into is filled; new memory where it is left out
   * @returns nothing for a layer that has none
   */
  assemble(layer: number, into?: PoolValues): AdapterWeights {
    const place = this.layers.indexOf(layer);
    if (place < 0) return {};
    const matrices = into ?? this.emptyMatrices();
    for (const name of poolNames) {
      const [pool, matrix] = [this.values[name], matrices[name]];
      eachNumber(name, this.tables[name], place, (inMatrix, inPool) => {
        matrix[inMatrix] = pool[inPool]!;
      });
    }
    return matrices;
  }

  /**
   * The way back: adds the gradients of a layer's matrices to those of the shards they are made of. A shard that lies in
   * several places gets the sum.
   * @param into gradients of the pools, in the form of `values`
   */
  scatter(layer: number, gradients: PoolValues, into: PoolValues): void {
    const place = this.layers.indexOf(layer);
    for (const name of poolNames) {
      const [pool, matrix] = [into[name], gradients[name]];
      eachNumber(name, this.tables[name], place, (inMatrix, inPool) => {
        pool[inPool]! += matrix[inMatrix]!;
      });
    }
  }
}

export function mapPools(make: (name: PoolName) => Float32Array): PoolValues {
  return Object.fromEntries(poolNames.map((name) => [name, make(name)])) as PoolValues;
}

/** Where each number of a matrix lies in it, and in its pool. The vectors are `down`'s rows, and `up`'s columns. */
function eachNumber(
  name: PoolName,
  { rank, pieces, size, indices }: ShardTable,
  layer: number,
  visit: (inMatrix: number, inPool: number) => void,
): void {
  const table = indices[layer]!;
  const [perVector, perNumber] = name.endsWith('.down') ? [pieces * size, 1] : [1, rank];
  for (let place = 0; place < table.length; place++) {
    const vector = Math.floor(place / pieces);
    const from = vector * perVector + (place % pieces) * size * perNumber;
    const shard = table[place]! * size;
    for (let c = 0; c < size; c++) visit(from + c * perNumber, shard + c);
  }
}
