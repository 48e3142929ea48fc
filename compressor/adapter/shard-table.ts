import { uniformNumbers } from '../random.ts';
import type { PoolForm } from './adapter.ts';

/** How many shards a pool has, and of which size. */
export interface PoolSize {
  /** Pieces of a vector. */
  pieces: number;
  /** Numbers of a shard. */
  size: number;
  /** Shards that every layer may use; they come first in the pool. */
  public: number;
  /** Shards that each layer has for itself; they follow, layer by layer. */
  private: number;
  /** All of them. */
  shards: number;
}

/** Which shards make up a low-rank matrix of each layer. */
export interface ShardTable extends PoolSize {
  rank: number;
  /** By adapted layer, row-major [rank, pieces]: the shard that lies there. */
  indices: Int32Array[];
}

/** A pool for one kind of low-rank matrix, whose vectors have `length` numbers, in `layers` layers. */
export function poolSize(length: number, rank: number, layers: number, form: PoolForm): PoolSize {
  const pieces = greatestCommonDivisor(length, form.shards);
  const ofOneLayer = (rank * pieces) / form.saving;
  const shards = Math.ceil(layers * ofOneLayer);
  const own = Math.floor(form.privateShare * ofOneLayer);
  return { pieces, size: length / pieces, public: shards - layers * own, private: own, shards };
}

/**
 * Draws the shards of every layer, after Mixture of Shards (arXiv 2410.00938). What keeps layers that share from being
 * the same: each takes shards of its own choice (subset selection); both sides of a low-rank product draw for
 * themselves, so that no pair of vectors comes back (pair dissociation: give each a stream of its own); a vector is put
 * together from pieces (vector sharding); and some shards are one layer's alone (privatization).
 *
 * Private shards lie in the first vectors, where the start puts a matrix's largest parts. Public ones are dealt like
 * cards, all of them before any comes again, so that each is used about as often as any other.
 *
 * @param stream tells one kind of matrix from another: the same seed and stream give the same table
 */
export function drawShards(
  length: number,
  rank: number,
  layers: number,
  form: PoolForm,
  stream: number,
): ShardTable {
  const size = poolSize(length, rank, layers, form);
  const random = uniformNumbers(form.seed + 0x9e3779b1 * (stream + 1));
  let deck: number[] = [];
  const deal = () => {
    if (deck.length === 0) deck = shuffled(size.public, random);
    return deck.pop()!;
  };
  const indices = Array.from({ length: layers }, (_, layer) =>
    Int32Array.from({ length: rank * size.pieces }, (_, place) =>
      place < size.private ? size.public + layer * size.private + place : deal(),
    ),
  );
  return { ...size, rank, indices };
}

/** The numbers from 0 to below `count`, in a random order (Fisher and Yates). */
function shuffled(count: number, random: () => number): number[] {
  const numbers = Array.from({ length: count }, (_, i) => i);
  for (let i = count - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [numbers[i], numbers[j]] = [numbers[j]!, numbers[i]!];
  }
  return numbers;
}

function greatestCommonDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestCommonDivisor(b, a % b);
}
