import type { MatrixKind, Precision } from '../../artifact/manifest.ts';
import type { Checkpoint } from '../checkpoint/checkpoint.ts';
import { blockMatrices, matrixShape } from '../graph/layer.ts';
import { type QuantizedMatrix, type Quantizer, repack, roundToNearest, stack } from '../quantize/blocks.ts';
import { ownForm } from '../quantize/own-form.ts';
import { partsOf, readMatrix, readNorms, readQkvBias } from '../weights/block.ts';
import type { Mixture } from '../weights/mixture.ts';
import { rotaryTables } from '../weights/rotary.ts';
import { BlobWriter, type WrittenBlob } from './blob-writer.ts';

/** Rows of the embedding in memory at a time. */
const embeddingRows = 4096;

export interface WeightWriterOptions {
  checkpoint: Checkpoint;
  precision: Record<MatrixKind, Precision>;
  /** Folder the blobs are written to, each named by its sha256. */
  folder: string;
  /** @default roundToNearest */
  quantizer?: Quantizer;
}

/** Writes a folded model's weights, blob by blob. Tensor names are those of the graph. */
export class WeightWriter {
  readonly #checkpoint: Checkpoint;
  readonly #precision: Record<MatrixKind, Precision>;
  readonly #folder: string;
  readonly #quantizer: Quantizer;

  constructor(options: WeightWriterOptions) {
    this.#checkpoint = options.checkpoint;
    this.#precision = options.precision;
    this.#folder = options.folder;
    this.#quantizer = options.quantizer ?? roundToNearest;
  }

  /** A block's matrices. Names are free of the block's number, so that equal blocks are equal blobs. */
  block(name: string, mixture: Mixture): Promise<WrittenBlob> {
    return this.#blob(name, async (blob) => {
      for (const matrix of blockMatrices) {
        const precision = this.#precision[matrix];
        const [outputs, inputs] = matrixShape(this.#checkpoint.architecture, matrix);
        if (precision.bits === 32) {
          const weights = await readMatrix(this.#checkpoint, mixture, matrix);
          await blob.add(`${matrix}.weight`, 'float32', [outputs, inputs], weights);
          continue;
        }
        const quantized =
          (await this.#ownBlocks(mixture, matrix)) ??
          this.#quantizer(
            await readMatrix(this.#checkpoint, mixture, matrix),
            [outputs, inputs],
            precision.bits,
            precision.blockSize!,
          );
        await addQuantized(blob, matrix, quantized);
      }
      const bias = await readQkvBias(this.#checkpoint, mixture);
      if (bias) await blob.add('qkv.bias', 'float32', [bias.length], bias);
    });
  }

  /** Every kept layer's norms, the final norm last. Names: `layers.INDEX.NORM`, `norm`. */
  norms(sources: number[]): Promise<WrittenBlob> {
    return this.#blob('norms', async (blob) => {
      for (const [index, source] of sources.entries()) {
        for (const [norm, vector] of Object.entries(await readNorms(this.#checkpoint, source))) {
          await blob.add(`layers.${index}.${norm}`, 'float32', [vector.length], vector);
        }
      }
      const norm = await this.#checkpoint.tensor('norm').read();
      await blob.add('norm', 'float32', [norm.length], norm);
    });
  }

  /** The cos and sin tables of every rotary, [positions, headSize / 2]. */
  rotary(positions: number): Promise<WrittenBlob> {
    return this.#blob('rotary', async (blob) => {
      for (const [i, rotary] of this.#checkpoint.architecture.rotaries.entries()) {
        const { cos, sin } = rotaryTables(rotary, positions);
        const shape = [positions, rotary.inverseFrequencies.length];
        await blob.add(`rotary.${i}.cos`, 'float32', shape, cos);
        await blob.add(`rotary.${i}.sin`, 'float32', shape, sin);
      }
    });
  }

  /**
   * Embedding or head, some rows at a time.
   * @param onRows called after each of them; what it throws ends the work
   */
  vocabulary(
    role: 'embedding' | 'head',
    onRows?: (rows: number) => void | Promise<void>,
  ): Promise<WrittenBlob> {
    const { bits, blockSize } = this.#precision.embedding;
    const tensor = this.#checkpoint.tensor(role);
    const [rows, inputs] = tensor.shape as [number, number];
    return this.#blob(role, async (blob) => {
      const scales: Float32Array[] = [];
      for (let start = 0; start < rows; start += embeddingRows) {
        const count = Math.min(embeddingRows, rows - start);
        if (bits === 32) {
          if (start === 0) await blob.begin(`${role}.weight`, 'float32', [rows, inputs]);
          await blob.append(await tensor.read(start, count));
        } else {
          const own = ownForm(tensor, bits, blockSize!);
          const part = own
            ? repack(await own(start, count), count, inputs)
            : this.#quantizer(await tensor.read(start, count), [count, inputs], bits, blockSize!);
          if (start === 0) await blob.begin(`${role}.values`, 'uint8', valuesShape(part, rows));
          await blob.append(part.values);
          scales.push(part.scales);
        }
        await onRows?.(count);
      }
      if (bits === 32) return;
      await blob.begin(`${role}.scales`, 'float32', [rows, Math.ceil(inputs / blockSize!)]);
      for (const part of scales) await blob.append(part);
    });
  }

  /** The checkpoint's own codes, where they have the wanted form and a single layer gives the weights. */
  async #ownBlocks(
    mixture: Mixture,
    matrix: (typeof blockMatrices)[number],
  ): Promise<QuantizedMatrix | undefined> {
    if (mixture.length > 1) return undefined;
    const { bits, blockSize } = this.#precision[matrix];
    const [{ layer }] = mixture as [Mixture[number]];
    const parts = partsOf(matrix).map((role) => this.#checkpoint.tensor(`layers.${layer}.${role}`));
    const readers = parts.map((part) => ownForm(part, bits, blockSize!));
    if (readers.includes(undefined)) return undefined;
    const stored = await Promise.all(readers.map((read) => read!()));
    return stack(stored.map((blocks, i) => repack(blocks, parts[i]!.shape[0]!, parts[i]!.shape[1]!)));
  }

  async #blob(name: string, write: (blob: BlobWriter) => Promise<void>): Promise<WrittenBlob> {
    const blob = await BlobWriter.create(this.#folder, name);
    try {
      await write(blob);
      return await blob.finish();
    } catch (error) {
      await blob.abort();
      throw error;
    }
  }
}

function valuesShape(matrix: QuantizedMatrix, outputs: number): number[] {
  return [outputs, matrix.blocks, (matrix.blockSize * matrix.bits) / 8];
}

async function addQuantized(blob: BlobWriter, name: string, matrix: QuantizedMatrix): Promise<void> {
  await blob.add(`${name}.values`, 'uint8', valuesShape(matrix, matrix.outputs), matrix.values);
  await blob.add(`${name}.scales`, 'float32', [matrix.outputs, matrix.blocks], matrix.scales);
}
