import { Tensor } from '../../artifact/onnxruntime/tensor.ts';

export interface TileSizes {
  /** Logits of one model that are kept between the passes: decides how many tokens go together. @default 64 MB */
  keptLogits?: number;
  /** Logits worked on at a time. @default 4 MB, so that what is computed between them stays in the cache */
  tileLogits?: number;
}

const defaults = { keptLogits: 16 * 2 ** 20, tileLogits: 2 ** 20 };

/** Fewer tokens together make the products slow, as a row of the head is read for little work; more no faster. */
const tokenBounds = { min: 16, max: 1024 };

/** Tokens that go through the loss together, for a vocabulary of this size. */
export function tokensAtATime(vocabulary: number, { keptLogits = defaults.keptLogits }: TileSizes): number {
  return Math.min(Math.max(Math.floor(keptLogits / vocabulary), tokenBounds.min), tokenBounds.max);
}

export interface LogitTile {
  index: number;
  /** Of the vocabulary: its first piece, and how many. */
  first: number;
  rows: number;
  /** The head's rows, [rows, width]. */
  weight: Tensor<Float32Array>;
  /** [tokens, rows] */
  logits: Tensor<Float32Array>;
}

/** All logits of a few tokens, in tiles of the vocabulary, with each token's log-sum-exp as it grows. */
export class LogitTiles {
  readonly tiles: LogitTile[] = [];
  readonly logsumexp: Float64Array;

  /**
   * @param head row-major [vocabulary, width]
   * @param memory holds tokens x vocabulary numbers or more
   */
  constructor(tokens: number, head: Float32Array, width: number, memory: Float32Array, sizes: TileSizes) {
    this.logsumexp = new Float64Array(tokens).fill(-Infinity);
    const vocabulary = head.length / width;
    const step = Math.max(1, Math.floor((sizes.tileLogits ?? defaults.tileLogits) / tokens));
    for (let first = 0; first < vocabulary; first += step) {
      const rows = Math.min(step, vocabulary - first);
      this.tiles.push({
        index: this.tiles.length,
        first,
        rows,
        weight: new Tensor(head.subarray(first * width, (first + rows) * width), [rows, width]),
        logits: new Tensor(memory.subarray(first * tokens, (first + rows) * tokens), [tokens, rows]),
      });
    }
  }

  /** Takes in one tile's log-sum-exp per token. */
  add(tile: Float32Array): void {
    for (const [t, value] of tile.entries()) {
      const high = Math.max(this.logsumexp[t]!, value);
      this.logsumexp[t] = high + Math.log(Math.exp(this.logsumexp[t]! - high) + Math.exp(value - high));
    }
  }

  /** One token's logit of one piece of the vocabulary. */
  at(token: number, piece: number): number {
    const { first, rows, logits } = this.tiles[Math.floor(piece / this.tiles[0]!.rows)]!;
    return logits.data[token * rows + piece - first]!;
  }

  /** What the exponentials subtract to give `factor` * probability, [tokens, 1]. */
  shift(factor: number): Tensor<Float32Array> {
    const shift = Float32Array.from(this.logsumexp, (value) => value - Math.log(factor));
    return new Tensor(shift, [shift.length, 1]);
  }
}
