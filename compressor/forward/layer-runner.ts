import type { Half } from '../../artifact/manifest.ts';
import type { Session, SessionOptions } from '../../artifact/onnxruntime/session.ts';
import { Tensor } from '../../artifact/onnxruntime/tensor.ts';
import { type AdapterForm, adapterFormOf, adapterKey, adapterShapes } from '../adapter/adapter.ts';
import { type Architecture, architectureOfMatrices } from '../checkpoint/architecture.ts';
import { computeSession } from '../device.ts';
import { halfOfNorms, hasQkvBias, matricesOf } from '../graph/halves.ts';
import { type BlockMatrix, emitLayer, emitSum, matrixShape, normsOf } from '../graph/layer.ts';
import { emitLowRank } from '../graph/low-rank.ts';
import { GraphBuilder } from '../onnx/graph.ts';
import type { BlockWeights } from '../weights/block.ts';
import type { OwnWeights } from '../weights/own.ts';
import { rotaryTables } from '../weights/rotary.ts';

/** The matrices whose inputs differ; `up` has the input of `gate`. */
export const distinctInputs = ['qkv', 'output', 'gate', 'down'] as const;
/** What each matrix that a layer runs was multiplied with, [tokens, inputs]. */
export type MatrixInputs = Partial<Record<(typeof distinctInputs)[number], Float32Array>>;

/**
 * Runs single layers in float32 with their weights as inputs of the graph: one small session serves every
 * layer of a model, and memory holds one block however deep the model is.
 */
export class LayerRunner implements Disposable {
  readonly #architecture: Architecture;
  /** One per kind of attention (window, rotary base), form of adapter, half and width of MLP; tapped or not. */
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

  /**
   * @param own a layer with the norms of one half runs that half alone
   * @param hidden [tokens, width], one sequence from its first token on
   * @returns the same shape, new memory
   */
  run(layer: number, block: BlockWeights, own: OwnWeights, hidden: Float32Array): Float32Array {
    return this.#run(layer, block, own, hidden, {});
  }

  /** `run`, and what each matrix was multiplied with on the way. */
  runTapped(
    layer: number,
    block: BlockWeights,
    own: OwnWeights,
    hidden: Float32Array,
  ): { out: Float32Array; inputs: MatrixInputs } {
    const tokens = hidden.length / this.#architecture.width;
    const a = architectureOfMatrices(this.#architecture, block.matrices);
    const run = matricesOf(halfOfNorms(own));
    const inputs: MatrixInputs = {};
    const taps: Record<string, Tensor> = {};
    for (const matrix of distinctInputs.filter((input) => run.includes(input))) {
      const size = matrixShape(a, matrix)[1];
      inputs[matrix] = new Float32Array(tokens * size);
      taps[tapOf(matrix)] = new Tensor(inputs[matrix], [1, tokens, size]);
    }
    return { out: this.#run(layer, block, own, hidden, taps), inputs };
  }

  #run(
    layer: number,
    block: BlockWeights,
    own: OwnWeights,
    hidden: Float32Array,
    taps: Record<string, Tensor>,
  ): Float32Array {
    const a = architectureOfMatrices(this.#architecture, block.matrices);
    const form = adapterFormOf(a, own);
    const half = halfOfNorms(own);
    const session = this.#session(a, layer, Object.keys(taps).length > 0, form, half);
    const tokens = hidden.length / a.width;
    const rotary = this.#rotaries[a.layers[layer]!.rotary]!;
    const table = [this.#maxTokens, a.headSize / 2];
    const feeds: Record<string, Tensor> = { hidden: new Tensor(hidden, [1, tokens, a.width]) };
    if (half !== 'mlp') {
      feeds.lastToken = new Tensor(Int32Array.of(tokens - 1), [1]);
      feeds.totalLength = new Tensor(Int32Array.of(tokens), []);
      feeds.cos = new Tensor(rotary.cos, table);
      feeds.sin = new Tensor(rotary.sin, table);
    }
    for (const matrix of matricesOf(half))
      feeds[matrix] = new Tensor(block.matrices[matrix]!, matrixShape(a, matrix));
    if (block.qkvBias && half !== 'mlp')
      feeds['qkv.bias'] = new Tensor(block.qkvBias, [block.qkvBias.length]);
    const shapes: Record<string, number[]> = adapterShapes(a, form);
    for (const [name, values] of Object.entries(own))
      feeds[name] = new Tensor(values, shapes[name] ?? [values.length]);
    const out = new Tensor(new Float32Array(hidden.length), [1, tokens, a.width]);
    session.run(feeds, { out, ...taps });
    return out.data;
  }

  #session(
    a: Architecture,
    layer: number,
    tapped: boolean,
    form: AdapterForm,
    half: Half | undefined,
  ): Session {
    const { window, rotary } = a.layers[layer]!;
    const key = `${window}/${rotary}/${tapped}/${adapterKey(form)}/${half}/${a.intermediateSize}`;
    let session = this.#sessions.get(key);
    if (!session) {
      session = computeSession(layerGraph(a, layer, tapped, form, half), this.#options);
      this.#sessions.set(key, session);
    }
    return session;
  }

  [Symbol.dispose](): void {
    for (const session of this.#sessions.values()) session[Symbol.dispose]();
    this.#sessions.clear();
  }
}

function tapOf(matrix: BlockMatrix): string {
  return `${matrix}.input`;
}

/**
 * One layer over a whole sequence, without a cache; weights are inputs.
 * @param tapped what the matrices are multiplied with is an output too
 */
function layerGraph(
  a: Architecture,
  layer: number,
  tapped: boolean,
  form: AdapterForm,
  half: Half | undefined,
): Uint8Array {
  const g = new GraphBuilder();
  const hidden = g.input('hidden', 'float32', [1, 'tokens', a.width]);
  if (half !== 'mlp') {
    g.input('lastToken', 'int32', [1]);
    g.input('totalLength', 'int32', []);
    g.input('cos', 'float32', ['positions', a.headSize / 2]);
    g.input('sin', 'float32', ['positions', a.headSize / 2]);
  }
  for (const matrix of matricesOf(half)) g.input(matrix, 'float32', matrixShape(a, matrix));
  if (hasQkvBias(a, half)) g.input('qkv.bias', 'float32', [matrixShape(a, 'qkv')[0]]);
  for (const norm of normsOf(a, half))
    g.input(norm, 'float32', [/[qk]\.norm$/.test(norm) ? a.headSize : a.width]);
  for (const [name, shape] of Object.entries(adapterShapes(a, form))) g.input(name, 'float32', shape);
  const residual = emitLayer(
    g,
    a,
    a.layers[layer]!,
    { sum: hidden },
    {
      linear(matrix, x) {
        if (tapped && distinctInputs.some((input) => input === matrix)) {
          g.node('Identity', [x], { outputs: [tapOf(matrix)] });
          g.output(tapOf(matrix), 'float32', [1, 'tokens', matrixShape(a, matrix)[1]]);
        }
        const product = g.node('FusedMatMul', [x, matrix], {
          domain: 'com.microsoft',
          attributes: { transB: 1 },
        });
        const biased = a.qkvBias && matrix === 'qkv' ? g.node('Add', [product, 'qkv.bias']) : product;
        const lowRank = { down: `${matrix}.down`, up: `${matrix}.up` };
        return form.rank > 0 ? emitLowRank(g, x, biased, lowRank) : biased;
      },
      norm: (norm) => norm,
      gain: (half) => (form.gains ? `${half}.gain` : undefined),
      rotary: () => ({ cos: 'cos', sin: 'sin' }),
    },
    { lastToken: 'lastToken', totalLength: 'totalLength' },
    half,
  );
  g.node('Identity', [emitSum(g, residual)], { outputs: ['out'] });
  g.output('out', 'float32', [1, 'tokens', a.width]);
  return g.build('layer');
}
