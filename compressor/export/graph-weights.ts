import type { CachePart } from '../../artifact/decoder/decoder-options.ts';
import type { AdapterTensor } from '../adapter/adapter.ts';
import type { PoolName } from '../adapter/adapter-pools.ts';
import { type Architecture, architectureOfBlock } from '../checkpoint/architecture.ts';
import { Int8Products } from '../graph/int8-products.ts';
import {
  type BlockMatrix,
  emitSum,
  type LayerCache,
  type LayerWeights,
  matrixShape,
  type Residual,
} from '../graph/layer.ts';
import { emitLowRank } from '../graph/low-rank.ts';
import type { GraphBuilder } from '../onnx/graph.ts';
import type { PlannedLayer } from '../plan/plan.ts';
import type { StoredTensor, WrittenBlob } from './blob-writer.ts';
import { cacheScalesName } from './cache-scales.ts';

export interface GraphParts {
  architecture: Architecture;
  /** Kept layers in depth order. */
  layers: readonly PlannedLayer[];
  /** One per distinct block. */
  blocks: WrittenBlob[];
  /** As a student has them. */
  widths?: readonly number[] | undefined;
  norms: WrittenBlob;
  /** Absent where no layer has an adapter. */
  adapters: WrittenBlob | undefined;
  /** Absent where no layer is followed by a patch. */
  patches: WrittenBlob | undefined;
  rotary: WrittenBlob;
  embedding: WrittenBlob;
  /** Absent where the head is the embedding. */
  head: WrittenBlob | undefined;
  /** Of an int8 cache; absent where keys and values are kept in float32. */
  cacheScales?: WrittenBlob;
  /** Of each block, the weights that prompts are read with. */
  promptBlocks?: readonly WrittenBlob[];
}

/** Weights as initializers that point into blobs. */
export class GraphWeights {
  readonly #g: GraphBuilder;
  readonly #parts: GraphParts;
  readonly #int8: Int8Products;

  constructor(g: GraphBuilder, parts: GraphParts) {
    this.#g = g;
    this.#parts = parts;
    this.#int8 = new Int8Products(g);
  }

  layer(index: number, block: number, rotary: number): LayerWeights {
    const own = (name: AdapterTensor) => this.#adapter(`layers.${index}.${name}`);
    const lowRank = (name: PoolName) => own(name) ?? this.#fromPool(index, name);
    return {
      linear: (matrix, x) => {
        const product = this.#ofBlock(block, matrix, x);
        const [down, up] = [lowRank(`${matrix}.down`), lowRank(`${matrix}.up`)];
        return down && up ? emitLowRank(this.#g, x, product, { down, up }) : product;
      },
      norm: (norm) => this.norm(`layers.${index}.${norm}`),
      gain: (half) => own(`${half}.gain`),
      rotary: () => ({ cos: this.#rotary(rotary, 'cos'), sin: this.#rotary(rotary, 'sin') }),
    };
  }

  /** [batch, tokens, inputs] -> [batch, tokens, outputs] */
  #ofBlock(block: number, matrix: BlockMatrix, x: string): string {
    const { blocks, promptBlocks, architecture, widths } = this.#parts;
    const name = `block.${block}.${matrix}`;
    const stored = blocks[block]!;
    if (!promptBlocks) {
      const [, inputs] = matrixShape(architectureOfBlock(architecture, widths, block), matrix);
      return this.#linear(x, name, stored, matrix, { inputs });
    }
    const product = this.#int8.product(x, {
      codes: this.#tensor(`${name}.codes`, promptBlocks[block]!, `${matrix}.codes`),
      steps: this.#tensor(`${name}.steps`, promptBlocks[block]!, `${matrix}.steps`),
    });
    const bias = this.#bias(name, stored, matrix);
    return bias ? this.#g.node('Add', [product, bias]) : product;
  }

  /** `''` where the matrix has none. */
  #bias(name: string, blob: WrittenBlob, tensor: string): string {
    const hasBias = blob.tensors.some((stored) => stored.name === `${tensor}.bias`);
    return hasBias ? this.#tensor(`${name}.bias`, blob, `${tensor}.bias`) : '';
  }

  norm(name: string): string {
    return this.#tensor(name, this.#parts.norms, name);
  }

  /** Undefined where the cache has none. */
  cacheScales(index: number): LayerCache['scales'] {
    const blob = this.#parts.cacheScales;
    if (!blob) return undefined;
    const scales = (part: CachePart) =>
      this.#tensor(cacheScalesName(index, part), blob, cacheScalesName(index, part));
    return { key: scales('key'), value: scales('value') };
  }

  /** Undefined where the layer has no such thing. */
  #adapter(name: string): string | undefined {
    const { adapters } = this.#parts;
    return adapters?.tensors.some((stored) => stored.name === name)
      ? this.#tensor(name, adapters, name)
      : undefined;
  }

  /**
   * `down` [rank, inputs] or `up` [outputs, rank], put together from shards of a pool. All of it is constant: the runtime
   * does so once, when it loads the model, and runs what comes out.
   */
  #fromPool(index: number, name: PoolName): string | undefined {
    const shards = this.#adapter(`layers.${index}.${name}.shards`);
    if (shards === undefined) return undefined;
    const [rank, pieces] = find(this.#parts.adapters!, shards).shape as [number, number];
    const [, size] = find(this.#parts.adapters!, `pools.${name}`).shape as [number, number];
    const pieceByPiece = this.#g.node('Gather', [this.#adapter(`pools.${name}`)!, shards]);
    const shape = BigInt64Array.of(BigInt(rank), BigInt(pieces * size));
    const constant = this.#g.constant(`pools.${name}.matrix`, 'int64', [2], shape);
    const vectors = this.#g.node('Reshape', [pieceByPiece, constant]);
    return name.endsWith('.down')
      ? vectors
      : this.#g.node('Transpose', [vectors], { attributes: { perm: [1, 0] } });
  }

  /** h + weight h + bias after a layer that has a patch. */
  patch(index: number, residual: Residual): Residual {
    const { patches } = this.#parts;
    const name = `patches.${index}`;
    if (!patches?.tensors.some((stored) => stored.name === `${name}.bias`)) return residual;
    const sum = emitSum(this.#g, residual);
    return { sum, pending: this.#linear(sum, name, patches, name) };
  }

  /** [batch, tokens] -> [batch, tokens, width] */
  embed(ids: string): string {
    const { architecture: a, embedding } = this.#parts;
    const codes = codesOf(embedding, 'embedding');
    let x: string;
    if (!codes) {
      x = this.#g.node('Gather', [this.#tensor('embedding.weight', embedding, 'embedding.weight'), ids]);
    } else {
      // The same bytes as the head's, under a second name and shape: rows are read from the mapped file,
      // while the head's copy is packed for its kernel.
      const [rows, blocks, bytes] = find(embedding, 'embedding.values').shape as [number, number, number];
      const values = this.#tensor('embedding.rows', embedding, 'embedding.values', [rows, blocks * bytes]);
      const scales = this.#tensor('embedding.row_scales', embedding, 'embedding.scales');
      x = this.#g.node('GatherBlockQuantized', [values, ids, scales], {
        domain: 'com.microsoft',
        attributes: { bits: codes.bits, block_size: codes.blockSize, gather_axis: 0, quantize_axis: 1 },
      });
      if (blocks * codes.blockSize !== a.width) x = this.#cut(x, a.width);
    }
    if (a.embeddingScale === 1) return x;
    const factor = this.#g.constant('embedding.scale', 'float32', [], Float32Array.of(a.embeddingScale));
    return this.#g.node('Mul', [x, factor]);
  }

  /** [rows, width] -> [rows, vocabulary], named `logits`. */
  head(x: string): string {
    const { head, embedding } = this.#parts;
    const name = head ? 'head' : 'embedding';
    return this.#linear(x, name, head ?? embedding, name, { output: 'logits' });
  }

  /** @param inputs of the matrix, without what its codes are padded with. @default the model's width */
  #linear(
    x: string,
    name: string,
    blob: WrittenBlob,
    tensor: string,
    { inputs = this.#parts.architecture.width, output }: { inputs?: number; output?: string } = {},
  ): string {
    const outputs = output === undefined ? {} : { outputs: [output] };
    const bias = this.#bias(name, blob, tensor);
    const codes = codesOf(blob, tensor);
    if (!codes) {
      const weight = this.#tensor(`${name}.weight`, blob, `${tensor}.weight`);
      const product = this.#g.node('FusedMatMul', [x, weight], {
        domain: 'com.microsoft',
        attributes: { transB: 1 },
        ...outputs,
      });
      return bias ? this.#g.node('Add', [product, bias]) : product;
    }
    const values = find(blob, `${tensor}.values`);
    const [rows, blocks] = values.shape as [number, number];
    if (inputs > blocks * codes.blockSize)
      throw new Error(`${tensor}: ${blocks * codes.blockSize} stored inputs for ${inputs}`);
    const operands = [
      x,
      this.#tensor(`${name}.values`, blob, `${tensor}.values`),
      this.#tensor(`${name}.scales`, blob, `${tensor}.scales`),
      ...(bias ? ['', '', bias] : []),
    ];
    return this.#g.node('MatMulNBits', operands, {
      domain: 'com.microsoft',
      attributes: {
        K: inputs,
        N: rows,
        bits: codes.bits,
        block_size: codes.blockSize,
        // Activations in int8 too: the kernels that use the processor's integer dot products.
        accuracy_level: 4,
      },
      ...outputs,
    });
  }

  #cut(x: string, width: number): string {
    const constant = (name: string, value: number) =>
      this.#g.constant(name, 'int64', [1], BigInt64Array.of(BigInt(value)));
    return this.#g.node('Slice', [
      x,
      constant('cut.from', 0),
      constant('cut.to', width),
      constant('cut.axis', -1),
    ]);
  }

  #rotary(index: number, part: 'cos' | 'sin'): string {
    const name = `rotary.${index}.${part}`;
    return this.#tensor(name, this.#parts.rotary, name);
  }

  #tensor(name: string, blob: WrittenBlob, stored: string, shape?: number[]): string {
    const tensor = find(blob, stored);
    const data = { file: blob.sha256, offset: tensor.offset, length: tensor.length };
    return this.#g.external(name, tensor.type, shape ?? tensor.shape, data);
  }
}

function find(blob: WrittenBlob, name: string): StoredTensor {
  const tensor = blob.tensors.find((stored) => stored.name === name);
  if (!tensor) throw new Error(`Blob ${blob.sha256} has no tensor ${name}.`);
  return tensor;
}

/** The form of a matrix's codes; undefined where it is stored in float32. */
function codesOf(blob: WrittenBlob, tensor: string): StoredTensor['codes'] {
  return blob.tensors.find((stored) => stored.name === `${tensor}.values`)?.codes;
}
