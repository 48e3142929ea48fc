import { Session, type SessionOptions } from '../../artifact/onnxruntime/session.ts';
import { Tensor } from '../../artifact/onnxruntime/tensor.ts';
import type { Architecture } from '../checkpoint/architecture.ts';
import { blockMatrices, emitLayer, emitSum, matrixShape, normsOf } from '../graph/layer.ts';
import { GraphBuilder } from '../onnx/graph.ts';
import type { BlockWeights, NormWeights } from '../weights/block.ts';
import { rotaryTables } from '../weights/rotary.ts';

/**
 * Runs single layers in float32 with their weights as inputs of the graph: one small session serves every
 * layer of a model, and memory holds one block however deep the model is.
 */
export class LayerRunner implements Disposable {
  readonly #architecture: Architecture;
  /** One per kind of attention (window, rotary base): one for most families, two for Gemma 3. */
  readonly #sessions = new Map<string, Session>();
  readonly #rotaries: ReturnType<typeof rotaryTables>[];
  readonly #maxTokens: number;
  readonly #options: SessionOptions;

  /** @param maxTokens longest sequence that will be run */
  constructor(architecture: Architecture, maxTokens: number, options: SessionOptions = {}) {
    this.#architecture = architecture;
    this.#maxTokens = maxTokens;
    this.#options = options;
    this.#rotaries = architecture.rotaries.map((rotary) => rotaryTables(rotary, maxTokens));
  }

  /** @param hidden [tokens, width], one sequence from its first token on. @returns the same shape, new memory. */
  run(layer: number, block: BlockWeights, norms: NormWeights, hidden: Float32Array): Float32Array {
    const a = this.#architecture;
    const session = this.#session(layer);
    const tokens = hidden.length / a.width;
    const rotary = this.#rotaries[a.layers[layer]!.rotary]!;
    const table = [this.#maxTokens, a.headSize / 2];
    const feeds: Record<string, Tensor> = {
      hidden: new Tensor(hidden, [1, tokens, a.width]),
      lastToken: new Tensor(Int32Array.of(tokens - 1), [1]),
      totalLength: new Tensor(Int32Array.of(tokens), []),
      cos: new Tensor(rotary.cos, table),
      sin: new Tensor(rotary.sin, table),
    };
    for (const matrix of blockMatrices)
      feeds[matrix] = new Tensor(block.matrices[matrix], matrixShape(a, matrix));
    if (block.qkvBias) feeds['qkv.bias'] = new Tensor(block.qkvBias, [block.qkvBias.length]);
    for (const [name, vector] of Object.entries(norms)) feeds[name] = new Tensor(vector, [vector.length]);
    const out = new Tensor(new Float32Array(hidden.length), [1, tokens, a.width]);
    session.run(feeds, { out });
    return out.data;
  }

  #session(layer: number): Session {
    const { window, rotary } = this.#architecture.layers[layer]!;
    const key = `${window}/${rotary}`;
    let session = this.#sessions.get(key);
    if (!session) {
      session = new Session(layerGraph(this.#architecture, layer), this.#options);
      this.#sessions.set(key, session);
    }
    return session;
  }

  [Symbol.dispose](): void {
    for (const session of this.#sessions.values()) session[Symbol.dispose]();
    this.#sessions.clear();
  }
}

/** One layer over a whole sequence, without a cache; weights are inputs. */
function layerGraph(a: Architecture, layer: number): Uint8Array {
  const g = new GraphBuilder();
  const hidden = g.input('hidden', 'float32', [1, 'tokens', a.width]);
  const lastToken = g.input('lastToken', 'int32', [1]);
  const totalLength = g.input('totalLength', 'int32', []);
  const cos = g.input('cos', 'float32', ['positions', a.headSize / 2]);
  const sin = g.input('sin', 'float32', ['positions', a.headSize / 2]);
  for (const matrix of blockMatrices) g.input(matrix, 'float32', matrixShape(a, matrix));
  if (a.qkvBias) g.input('qkv.bias', 'float32', [matrixShape(a, 'qkv')[0]]);
  for (const norm of normsOf(a)) g.input(norm, 'float32', [/[qk]\.norm$/.test(norm) ? a.headSize : a.width]);
  const residual = emitLayer(
    g,
    a,
    a.layers[layer]!,
    { sum: hidden },
    {
      linear(matrix, x) {
        const product = g.node('FusedMatMul', [x, matrix], {
          domain: 'com.microsoft',
          attributes: { transB: 1 },
        });
        return a.qkvBias && matrix === 'qkv' ? g.node('Add', [product, 'qkv.bias']) : product;
      },
      norm: (norm) => norm,
      rotary: { cos, sin },
    },
    { lastToken, totalLength },
  );
  g.node('Identity', [emitSum(g, residual)], { outputs: ['out'] });
  g.output('out', 'float32', [1, 'tokens', a.width]);
  return g.build('layer');
}
