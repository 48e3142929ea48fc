import { betweenSteps } from '../forward/between-steps.ts';
import { solveRidge } from '../patch/ridge.ts';
import { normalNumbers } from '../random.ts';
import type { ShardTable } from './shard-table.ts';
import type { LowRank } from './truncated-svd.ts';

/** The pools of both sides of one kind of matrix, row-major [shards, size] each. */
export interface PoolPair {
  down: Float32Array;
  up: Float32Array;
}

/** Times each side is solved for. */
const rounds = 8;

/** Part of the mean diagonal that is added: shards that always lie together have no solution of their own. */
const ridge = 1e-6;

/** Of the first guess, relative to its size: two shards that guess the same would stay the same. */
const noise = 0.01;

/** One side of the products; its vectors are rows here, whichever side it is. */
interface Side {
  table: ShardTable;
  /** By layer, [rank, length]: of the products that are wanted. */
  wanted: Float64Array[];
  /** [shards, size] */
  pool: Float64Array;
}

/**
 * Pools whose products are near to those of given low-rank matrices: the sum over layers of |B A - up down|² falls with
 * every step of alternating least squares. While one side is fixed, the other's pool is the solution of a linear system
 * with an unknown for each shard.
 *
 * The first guess of `down`'s shards is the mean of what is wanted where they lie.
 *
 * @param wanted by layer, as `TruncatedSvd` gives them
 * @returns both sides of one size, so that they are trained at one rate
 */
export async function fitPools(
  wanted: readonly LowRank[],
  down: ShardTable,
  up: ShardTable,
  signal?: AbortSignal,
): Promise<PoolPair> {
  const downs = sideOf(
    down,
    wanted.map((each) => Float64Array.from(each.down)),
  );
  const ups = sideOf(
    up,
    wanted.map((each) => transposed(each.up, up.rank)),
  );
  guess(downs);
  for (let round = 0; round < rounds; round++) {
    await betweenSteps(signal);
    solve(ups, downs);
    await betweenSteps(signal);
    solve(downs, ups);
  }
  const [a, b] = [norm(downs.pool), norm(ups.pool)];
  const balance = a > 0 && b > 0 ? Math.sqrt(b / a) : 1;
  return {
    down: Float32Array.from(downs.pool, (value) => value * balance),
    up: Float32Array.from(ups.pool, (value) => value / balance),
  };
}

function sideOf(table: ShardTable, wanted: Float64Array[]): Side {
  return { table, wanted, pool: new Float64Array(table.shards * table.size) };
}

function guess({ table, wanted, pool }: Side): void {
  const { size, shards } = table;
  const uses = new Float64Array(shards);
  for (const [layer, target] of wanted.entries()) {
    for (const [place, shard] of table.indices[layer]!.entries()) {
      uses[shard]!++;
      for (let c = 0; c < size; c++) pool[shard * size + c]! += target[place * size + c]!;
    }
  }
  for (let i = 0; i < pool.length; i++) pool[i]! /= uses[Math.floor(i / size)]!;
  const random = normalNumbers(1);
  const scale = (noise * norm(pool)) / Math.sqrt(pool.length);
  for (let i = 0; i < pool.length; i++) pool[i]! += scale * random();
}

/**
 * Solves for one side. With vectors x_k (sought) and y_k (fixed) of a layer, and q_k, t_k of what is wanted,
 * |Σ y_k x_kᵀ - Σ q_k t_kᵀ|² is least where Σ_m (y_k · y_m) x_m = Σ_m (y_k · q_m) t_m. The pieces of a vector see each
 * other nowhere, so each gives its own equations, and all columns of a shard have the same.
 */
function solve(sought: Side, fixed: Side): void {
  const { table, wanted, pool } = sought;
  const { rank, pieces, size, shards } = table;
  const length = pieces * size;
  const gram = new Float64Array(shards * shards);
  const right = new Float64Array(shards * size);
  for (const [layer, target] of wanted.entries()) {
    const vectors = assembled(fixed, layer);
    const among = products(vectors, vectors, rank);
    const across = products(vectors, fixed.wanted[layer]!, rank);
    const shardAt = (vector: number, piece: number) => table.indices[layer]![vector * pieces + piece]!;
    for (let piece = 0; piece < pieces; piece++) {
      for (let k = 0; k < rank; k++) {
        const row = shardAt(k, piece);
        for (let m = 0; m < rank; m++) {
          gram[row * shards + shardAt(m, piece)]! += among[k * rank + m]!;
          const factor = across[k * rank + m]!;
          const from = m * length + piece * size;
          for (let c = 0; c < size; c++) right[row * size + c]! += factor * target[from + c]!;
        }
      }
    }
  }
  // Where the other side is zero, anything does.
  if (gram.some((value) => value !== 0)) pool.set(solveRidge(gram, right, shards, size, ridge));
}

/** [rank, length] of a layer. */
function assembled({ table, pool }: Side, layer: number): Float64Array {
  const { rank, pieces, size } = table;
  const vectors = new Float64Array(rank * pieces * size);
  for (const [place, shard] of table.indices[layer]!.entries())
    vectors.set(pool.subarray(shard * size, (shard + 1) * size), place * size);
  return vectors;
}

/** Of every row of one with every row of the other, [rank, rank]. */
function products(one: Float64Array, other: Float64Array, rank: number): Float64Array {
  const length = one.length / rank;
  const result = new Float64Array(rank * rank);
  for (let k = 0; k < rank; k++) {
    for (let m = 0; m < rank; m++) {
      let sum = 0;
      for (let i = 0; i < length; i++) sum += one[k * length + i]! * other[m * length + i]!;
      result[k * rank + m] = sum;
    }
  }
  return result;
}

/** @param matrix row-major [rows, columns] */
function transposed(matrix: Float32Array, columns: number): Float64Array {
  const rows = matrix.length / columns;
  return Float64Array.from(
    { length: matrix.length },
    (_, i) => matrix[(i % rows) * columns + Math.floor(i / rows)]!,
  );
}

function norm(values: Float64Array): number {
  return Math.sqrt(values.reduce((sum, value) => sum + value * value, 0));
}
