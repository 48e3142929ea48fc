import type { MatrixKind, Precision } from '../../artifact/manifest.ts';
import { type AdapterTensor, adapterFormOf, adapterShapes } from '../adapter/adapter.ts';
import { poolNames } from '../adapter/adapter-pools.ts';
import { architectureOfBlock } from '../checkpoint/architecture.ts';
import { matricesOfBlock } from '../graph/halves.ts';
import { matrixShape, normsOf } from '../graph/layer.ts';
import type { BlockCodes } from '../quantize/block-quantizer.ts';
import { type QuantizedMatrix, repack, roundToNearest } from '../quantize/blocks.ts';
import { int8Columns } from '../quantize/int8-columns.ts';
import { ownForm } from '../quantize/own-form.ts';
import { patchPrecision } from '../quantize/precision.ts';
import type { Student } from '../student/student.ts';
import { rotaryTables } from '../weights/rotary.ts';
import { BlobWriter, type WrittenBlob } from './blob-writer.ts';

/** Rows of the embedding in memory at a time. */
const embeddingRows = 4096;

export interface WeightWriterOptions {
  student: Student;
  precision: Record<MatrixKind, Precision>;
  /** Folder the blobs are written to, each named by its sha256. */
  folder: string;
}

/** Writes a folded model's weights, blob by blob. Tensor names are those of the graph. */
export class WeightWriter {
  readonly #student: Student;
  readonly #precision: Record<MatrixKind, Precision>;
  readonly #folder: string;

  constructor(options: WeightWriterOptions) {
    this.#student = options.student;
    this.#precision = options.precision;
    this.#folder = options.folder;
  }

  /**
   * A block's matrices, those that a layer runs. Names are free of the block's number, so that equal blocks are equal blobs.
   * @param codes of the matrices that are not stored in float32
   */
  block(block: number, codes: BlockCodes): Promise<WrittenBlob> {
    const { architecture, widths } = this.#student;
    const a = architectureOfBlock(architecture, widths, block);
    return this.#blob(`block-${block}`, async (blob) => {
      for (const matrix of matricesOfBlock(this.#student.layers, block)) {
        const quantized = codes[matrix];
        if (quantized) {
          await addQuantized(blob, matrix, quantized);
        } else {
          await blob.add(
            `${matrix}.weight`,
            'float32',
            matrixShape(a, matrix),
            await this.#student.matrix(block, matrix),
          );
        }
      }
      const bias = await this.#student.qkvBias(block);
      if (bias) await blob.add('qkv.bias', 'float32', [bias.length], bias);
    });
  }

  /**
   * A block's matrices for reading prompts, as they are before the others' rounding. Names: `MATRIX.codes`, `MATRIX.steps`.
   */
  promptBlock(block: number): Promise<WrittenBlob> {
    const { architecture, widths, layers } = this.#student;
    const a = architectureOfBlock(architecture, widths, block);
    return this.#blob(`prompt-block-${block}`, async (blob) => {
      for (const matrix of matricesOfBlock(layers, block)) {
        const [outputs, inputs] = matrixShape(a, matrix);
        const { codes, steps } = int8Columns(await this.#student.matrix(block, matrix), [outputs, inputs]);
        await blob.add(`${matrix}.codes`, 'int8', [inputs, outputs], codes);
        await blob.add(`${matrix}.steps`, 'float32', [outputs], steps);
      }
    });
  }

  /** Every kept layer's norms, the final norm last. Names: `layers.INDEX.NORM`, `norm`. */
  norms(): Promise<WrittenBlob> {
    return this.#blob('norms', async (blob) => {
      for (const [index, { half }] of this.#student.layers.entries()) {
        const own = await this.#student.own(index);
        for (const norm of normsOf(this.#student.architecture, half))
          await blob.add(`layers.${index}.${norm}`, 'float32', [own[norm]!.length], own[norm]!);
      }
      const norm = await this.#student.tensor('norm').read();
      await blob.add('norm', 'float32', [norm.length], norm);
    });
  }

  /**
   * What layers with another's block have of their own. Names: `layers.INDEX.ADAPTER_TENSOR`. Of low-rank matrices from
   * pools: `pools.ADAPTER_TENSOR` [shards, numbers], and `layers.INDEX.ADAPTER_TENSOR.shards` [rank, pieces], which of
   * them lies where.
   */
  adapters(): Promise<WrittenBlob> {
    const { architecture: a, layers, pools } = this.#student;
    return this.#blob('adapters', async (blob) => {
      for (const index of layers.keys()) {
        const own = await this.#student.own(index);
        const { gains, rank } = adapterFormOf(a, own);
        const form = { gains, rank: pools?.layers.includes(index) ? 0 : rank };
        for (const [name, shape] of Object.entries(adapterShapes(a, form)))
          await blob.add(`layers.${index}.${name}`, 'float32', shape, own[name as AdapterTensor]!);
      }
      if (!pools) return;
      for (const name of poolNames) {
        const { shards, size, rank, pieces, indices } = pools.tables[name];
        await blob.add(`pools.${name}`, 'float32', [shards, size], pools.values[name]);
        for (const [place, index] of pools.layers.entries())
          await blob.add(`layers.${index}.${name}.shards`, 'int32', [rank, pieces], indices[place]!);
      }
    });
  }

  /** What stands in for removed layers. Names: `patches.INDEX.values|scales|weight|bias`. */
  patches(): Promise<WrittenBlob> {
    const { width } = this.#student.architecture;
    const { bits, blockSize } = patchPrecision(this.#precision);
    return this.#blob('patches', async (blob) => {
      for (const index of this.#student.layers.keys()) {
        const patch = await this.#student.patch(index);
        if (!patch) continue;
        const name = `patches.${index}`;
        if (bits === 32) await blob.add(`${name}.weight`, 'float32', [width, width], patch.weight);
        else await addQuantized(blob, name, roundToNearest(patch.weight, [width, width], bits, blockSize!));
        await blob.add(`${name}.bias`, 'float32', [width], patch.bias);
      }
    });
  }

  /** The cos and sin tables of every rotary, [positions, headSize / 2]. */
  rotary(positions: number): Promise<WrittenBlob> {
    return this.#blob('rotary', async (blob) => {
      for (const [i, rotary] of this.#student.architecture.rotaries.entries()) {
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
    const tensor = this.#student.tensor(role);
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
            : roundToNearest(await tensor.read(start, count), [count, inputs], bits, blockSize!);
          if (start === 0) await beginValues(blob, role, part, rows);
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

/** @param outputs rows of the whole matrix, of which `part` may hold some */
async function beginValues(
  blob: BlobWriter,
  name: string,
  { bits, blockSize, blocks }: QuantizedMatrix,
  outputs: number,
): Promise<void> {
  const shape = [outputs, blocks, (blockSize * bits) / 8];
  await blob.begin(`${name}.values`, 'uint8', shape, { bits, blockSize });
}

async function addQuantized(blob: BlobWriter, name: string, matrix: QuantizedMatrix): Promise<void> {
  const { outputs, blocks, values, scales } = matrix;
  await beginValues(blob, name, matrix, outputs);
  await blob.append(values);
  await blob.add(`${name}.scales`, 'float32', [outputs, blocks], scales);
}
