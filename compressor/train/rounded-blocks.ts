import { type BlockMatrix, blockMatrices } from '../graph/layer.ts';
import type { BlockCodes } from '../quantize/block-quantizer.ts';
import { roundInto } from '../quantize/cells.ts';
import type { BlockWeights } from '../weights/block.ts';

/**
 * Blocks as they will run once they are stored: every matrix rounded to codes, with scales that stay. Quantization-aware
 * training (arXiv 1712.05877) computes with these, and gives their gradients to the weights behind them as if nothing
 * had been rounded (the straight-through estimator, arXiv 1308.3432): weights move into the next cell where that helps.
 */
export class RoundedBlocks {
  readonly blocks: readonly BlockWeights[];
  readonly #from: readonly BlockWeights[];
  readonly #codes: readonly BlockCodes[];

  /**
   * @param from the weights that are trained
   * @param codes by block: the form and the scales; matrices that are left out run as they are
   */
  constructor(from: readonly BlockWeights[], codes: readonly BlockCodes[]) {
    this.#from = from;
    this.#codes = codes;
    this.blocks = from.map((block, b) => ({
      ...block,
      matrices: Object.fromEntries(
        Object.entries(block.matrices).map(([matrix, weights]) => [
          matrix,
          codes[b]![matrix as BlockMatrix] ? new Float32Array(weights.length) : weights,
        ]),
      ),
    }));
  }

  /** Rounds the weights as they are now. */
  refresh(): void {
    for (const [b, { matrices }] of this.blocks.entries()) {
      for (const matrix of blockMatrices) {
        const like = this.#codes[b]![matrix];
        const weights = this.#from[b]!.matrices[matrix];
        if (like && weights) roundInto(matrices[matrix]!, weights, like, weights.length / like.outputs);
      }
    }
  }
}
