import type { Half } from '../../artifact/manifest.ts';
import type { Session, SessionOptions } from '../../artifact/onnxruntime/session.ts';
import { Tensor } from '../../artifact/onnxruntime/tensor.ts';
import { type AdapterTensor, adapterFormOf, adapterKey, noAdapter } from '../adapter/adapter.ts';
import { emitModel } from '../autodiff/emit.ts';
import { type Expression, input, type Shape, sizeOf } from '../autodiff/expression.ts';
import { gradients } from '../autodiff/gradients.ts';
import { type Architecture, architectureOfMatrices } from '../checkpoint/architecture.ts';
import { computeSession } from '../device.ts';
import { halfOfNorms, matricesOf } from '../graph/halves.ts';
import { type BlockMatrix, normsOf } from '../graph/layer.ts';
import type { BlockWeights } from '../weights/block.ts';
import type { OwnWeights } from '../weights/own.ts';
import { rotaryTables } from '../weights/rotary.ts';
import {
  type BatchShape,
  type LayerExpression,
  layerAdapterShapes,
  layerExpression,
  layerMatrixShape,
  qkvParts,
} from './layer-expression.ts';

/** Where a layer's gradients are added up: arrays of the shapes of its weights. */
export interface LayerGradients {
  matrices: Partial<Record<BlockMatrix, Float32Array>>;
  qkvBias?: Float32Array;
  own: OwnWeights;
}

/** What is trained besides the gate, whose gradient is always there: each holds what those after it hold. */
export type Trainable = 'all' | 'adapters' | 'norms' | 'gate';

export interface LayerTrainerOptions extends SessionOptions {
  /** The gradients of what is not trained are not computed. @default 'all' */
  trainable?: Trainable;
}

/**
 * Numbers of one layer's activations that `LayerTrainer.forward` keeps if asked: 5,184 a token of SmolLM2-135M.
 * @param half where the layer runs that one alone
 */
export function activationLength(architecture: Architecture, shape: BatchShape, half?: Half): number {
  return activationShapes(architecture, shape, half).reduce((sum, [, shape]) => sum + sizeOf(shape), 0);
}

function activationShapes(
  architecture: Architecture,
  shape: BatchShape,
  half: Half | undefined,
): [name: string, shape: Shape][] {
  const { activations } = layerExpression(architecture, architecture.layers[0]!, shape, noAdapter, half);
  return Object.entries(activations).map(([name, { shape }]) => [name, shape]);
}

/**
 * Runs single layers forward and backward in float32, with weights and the sums of gradients as inputs of
 * the graph: one small session of each kind serves every layer of a model.
 */
export class LayerTrainer implements Disposable {
  readonly #architecture: Architecture;
  readonly #shape: BatchShape;
  readonly #trainable: Trainable;
  readonly #options: SessionOptions;
  /** By attention (window, rotary base), form of adapter, half, width of the MLP, and direction. */
  readonly #sessions = new Map<string, Session>();
  /** By half and width of the MLP: a formula is worked out for them, and every layer of every step asks. */
  readonly #activations = new Map<string, ReturnType<typeof activationShapes>>();
  readonly #rotaries: { cos: Tensor; sin: Tensor }[];

  /** @param shape of every batch: the graphs are built for it */
  constructor(architecture: Architecture, shape: BatchShape, options: LayerTrainerOptions = {}) {
    const { trainable = 'all', ...session } = options;
    this.#architecture = architecture;
    this.#shape = shape;
    this.#trainable = trainable;
    this.#options = session;
    const table = [shape.tokens, architecture.headSize / 2];
    this.#rotaries = architecture.rotaries.map((rotary) => {
      const { cos, sin } = rotaryTables(rotary, shape.tokens);
      return { cos: new Tensor(cos, table), sin: new Tensor(sin, table) };
    });
  }

  /**
   * out = h + gate * (layer(h) - h).
   *
   * @param own a layer with the norms of one half runs that half alone
   * @param hidden [batch, tokens, width]
   * @param gate @default 1
   * @param activations takes what `backward` would compute again: `activationLength` numbers
   * @returns the same shape, new memory
   */
  forward(
    layer: number,
    block: BlockWeights,
    own: OwnWeights,
    hidden: Float32Array,
    gate = 1,
    activations?: Float32Array,
  ): Float32Array {
    const a = architectureOfMatrices(this.#architecture, block.matrices);
    const out = this.#hidden(new Float32Array(hidden.length));
    const session = this.#session(a, layer, own, activations ? 'forward, keeping' : 'forward', (e) =>
      emitModel('layer forward', { out: e.out, ...(activations && e.activations) }),
    );
    session.run(this.#feeds(layer, block, own, hidden, gate), {
      out,
      ...(activations && this.#activationTensors(a, activations, own)),
    });
    return out.data;
  }

  /**
   * Goes back through the layer, which it computes again from its input, or from the activations that
   * `forward` kept: both ways together then take a fifth less time.
   *
   * @param hidden [batch, tokens, width], what `forward` was given
   * @param gradOut dLoss/dOut, of the same shape
   * @param into the gradients of what is trained are added to these arrays. Layers that share a block pass
   * the same. Without it, none are computed.
   * @param gate @default 1
   * @param activations what `forward` filled, with the same weights and input
   * @returns dLoss/dHidden, new memory, and dLoss/dGate
   */
  backward(
    layer: number,
    block: BlockWeights,
    own: OwnWeights,
    hidden: Float32Array,
    gradOut: Float32Array,
    into: LayerGradients | undefined,
    gate = 1,
    activations?: Float32Array,
  ): { hidden: Float32Array; gate: number } {
    const a = architectureOfMatrices(this.#architecture, block.matrices);
    const trainable = into ? this.#trainable : 'gate';
    const kind = `${trainable}${activations ? ', from activations' : ''}`;
    const session = this.#session(a, layer, own, kind, (e) =>
      emitModel('layer backward', backwardOutputs(e, trainable), activations ? e.activations : {}),
    );
    const sums = into ? this.#sums(into, trainable, halfOfNorms(own)) : {};
    const dHidden = this.#hidden(new Float32Array(hidden.length));
    const dGate = new Tensor(new Float32Array(1), [1]);
    session.run(
      {
        // Biases are part of the activations.
        ...this.#feeds(layer, activations ? { matrices: block.matrices } : block, own, hidden, gate),
        ...(activations && this.#activationTensors(a, activations, own)),
        'out.gradient': this.#hidden(gradOut),
        ...renamed(sums, 'sum'),
      },
      // A sum is read by the node that writes it and by no other, and each of its numbers before it is
      // written: it may lie in one place.
      { 'hidden.gradient': dHidden, 'layer.gate.gradient': dGate, ...renamed(sums, 'gradient') },
    );
    return { hidden: dHidden.data, gate: dGate.data[0]! };
  }

  #feeds(
    layer: number,
    block: BlockWeights,
    own: OwnWeights,
    hidden: Float32Array,
    gate: number,
  ): Record<string, Tensor> {
    const half = halfOfNorms(own);
    return {
      hidden: this.#hidden(hidden),
      'layer.gate': new Tensor(Float32Array.of(gate), [1]),
      ...(half !== 'mlp' && this.#rotaries[this.#architecture.layers[layer]!.rotary]!),
      ...this.#blockTensors(block, half),
      ...this.#ownTensors(own),
    };
  }

  /** The arrays that take what this trainer trains. */
  #sums(into: LayerGradients, trainable: Trainable, half: Half | undefined): Record<string, Tensor> {
    return {
      ...(trainable === 'all' && this.#blockTensors(into, half)),
      ...(trainable !== 'gate' && this.#ownTensors(into.own, trainable !== 'norms')),
    };
  }

  /**
   * A layer's own weights, or their gradients, by the names of the graph.
   * @param adapters with those of its adapter. @default true
   */
  #ownTensors(own: OwnWeights, adapters = true): Record<string, Tensor> {
    const a = this.#architecture;
    const tensors: Record<string, Tensor> = {};
    for (const norm of normsOf(a, halfOfNorms(own)))
      tensors[norm] = new Tensor(own[norm]!, [own[norm]!.length]);
    if (!adapters) return tensors;
    let row = 0;
    for (const [name, shape] of Object.entries(layerAdapterShapes(a, adapterFormOf(a, own)))) {
      const values = own[name as AdapterTensor];
      tensors[name] = new Tensor(values ?? own['qkv.up']!.subarray(row, row + sizeOf(shape)), shape);
      if (!values) row += sizeOf(shape);
    }
    return tensors;
  }

  /** Matrices and biases, or their gradients, by the names of the graph. */
  #blockTensors({ matrices, qkvBias }: BlockWeights, half: Half | undefined): Record<string, Tensor> {
    const a = architectureOfMatrices(this.#architecture, matrices);
    const tensors: Record<string, Tensor> = {};
    for (const matrix of matricesOf(half)) {
      if (matrix !== 'qkv') tensors[matrix] = new Tensor(matrices[matrix]!, layerMatrixShape(a, matrix));
    }
    if (half === 'mlp') return tensors;
    let row = 0;
    for (const part of qkvParts) {
      const [rows, columns] = layerMatrixShape(a, part);
      const values = matrices.qkv!.subarray(row * columns, (row + rows) * columns);
      tensors[part] = new Tensor(values, [rows, columns]);
      if (qkvBias) tensors[`${part}.bias`] = new Tensor(qkvBias.subarray(row, row + rows), [rows]);
      row += rows;
    }
    return tensors;
  }

  #hidden(values: Float32Array): Tensor<Float32Array> {
    const { batch, tokens } = this.#shape;
    return new Tensor(values, [batch * tokens, this.#architecture.width]);
  }

  /** Consecutive parts of one array. */
  #activationTensors(a: Architecture, all: Float32Array, own: OwnWeights): Record<string, Tensor> {
    let offset = 0;
    const half = halfOfNorms(own);
    const key = `${half}/${a.intermediateSize}`;
    const shapes = this.#activations.get(key) ?? activationShapes(a, this.#shape, half);
    this.#activations.set(key, shapes);
    const tensors = shapes.map(([name, shape]) => {
      const part = all.subarray(offset, offset + sizeOf(shape));
      offset += part.length;
      return [name, new Tensor(part, shape)] as const;
    });
    return Object.fromEntries(tensors);
  }

  #session(
    a: Architecture,
    layer: number,
    own: OwnWeights,
    kind: string,
    emit: (e: LayerExpression) => Uint8Array,
  ): Session {
    const attention = a.layers[layer]!;
    // The rotary tables are inputs: only a window that hides something makes another graph.
    const hides = (attention.window ?? Infinity) < this.#shape.tokens;
    const form = adapterFormOf(a, own);
    const half = halfOfNorms(own);
    const seen = hides ? `window ${attention.window}` : 'all tokens';
    const key = `${kind}, ${half ?? 'both halves'}, ${a.intermediateSize} wide, ${seen}, ${adapterKey(form)}`;
    let session = this.#sessions.get(key);
    if (!session) {
      const expression = layerExpression(a, attention, this.#shape, form, half);
      session = computeSession(emit(expression), this.#options);
      this.#sessions.set(key, session);
    }
    return session;
  }

  [Symbol.dispose](): void {
    for (const session of this.#sessions.values()) session[Symbol.dispose]();
    this.#sessions.clear();
  }
}

/** dLoss/dHidden, dLoss/dGate, and for each trained weight NAME: NAME.gradient = NAME.sum + its gradient. */
function backwardOutputs(e: LayerExpression, trainable: Trainable): Record<string, Expression> {
  const weights: Record<string, Expression> = {
    ...(trainable === 'all' && e.matrices),
    ...(trainable === 'all' && renamed(e.biases, 'bias')),
    ...(trainable !== 'gate' && e.norms),
    ...((trainable === 'all' || trainable === 'adapters') && e.adapter),
  };
  const sums = new Map(Object.entries(weights).map(([name, w]) => [w, input(`${name}.sum`, w.shape)]));
  const seed = input('out.gradient', e.out.shape);
  const wanted = { hidden: e.hidden, 'layer.gate': e.gate, ...weights };
  const found = gradients(e.out, seed, Object.values(wanted), sums);
  return Object.fromEntries(Object.keys(wanted).map((name, i) => [`${name}.gradient`, found[i]!]));
}

function renamed<T>(entries: Record<string, T>, suffix: string): Record<string, T> {
  return Object.fromEntries(Object.entries(entries).map(([name, value]) => [`${name}.${suffix}`, value]));
}
