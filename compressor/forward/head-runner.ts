import type { Session, SessionOptions } from '../../artifact/onnxruntime/session.ts';
import { Tensor } from '../../artifact/onnxruntime/tensor.ts';
import type { Architecture } from '../checkpoint/architecture.ts';
import { computeSession } from '../device.ts';
import { emitFinalNorm } from '../graph/layer.ts';
import { GraphBuilder } from '../onnx/graph.ts';
import type { Vocabulary } from '../student/student.ts';
import { betweenSteps } from './between-steps.ts';

/** Tokens of the vocabulary at a time: bounds the logits in memory to tokens x this x 4 bytes. */
const tileRows = 8192;

/**
 * The final norm, the head and the loss over a tile of the vocabulary at a time, so that neither the
 * head nor the logits are ever whole in memory.
 */
export class HeadRunner implements Disposable {
  readonly #model: Vocabulary;
  readonly #session: Session;

  constructor(model: Vocabulary, options: SessionOptions = {}) {
    this.#model = model;
    this.#session = computeSession(headGraph(model.architecture), options);
  }

  /**
   * Negative log-likelihoods in nats.
   * @param states hidden states after the last layer, [tokens, width], in several sequences
   * @param targets the token that follows each; -1 where none counts
   * @returns per sequence, per token; 0 where the target is -1
   */
  async losses(states: Float32Array[], targets: Int32Array[], signal?: AbortSignal): Promise<Float64Array[]> {
    return this.#losses(states, targets, () => {}, signal);
  }

  /** As `losses`, and the token held likeliest at each position: the first of equal ones. */
  async predictions(
    states: Float32Array[],
    targets: Int32Array[],
    signal?: AbortSignal,
  ): Promise<{ losses: Float64Array; likeliest: Int32Array }[]> {
    const maxima = targets.map(({ length }) => new Maximum(length));
    const visit: TileVisitor = (i, first, _, __, logits) => maxima[i]!.add(first, logits);
    const losses = await this.#losses(states, targets, visit, signal);
    return losses.map((own, i) => ({ losses: own, likeliest: maxima[i]!.tokens }));
  }

  async #losses(
    states: Float32Array[],
    targets: Int32Array[],
    visit: TileVisitor,
    signal?: AbortSignal,
  ): Promise<Float64Array[]> {
    const totals = states.map((_, i) => new LogSumExp(targets[i]!.length));
    const visitAll: TileVisitor = (i, first, logsumexp, picked, logits) => {
      totals[i]!.add(logsumexp);
      targets[i]!.forEach((target, t) => {
        if (target >= first && target < first + tileRows) totals[i]!.picked[t] = picked[t]!;
      });
      visit(i, first, logsumexp, picked, logits);
    };
    await this.#tiles(states, targets, visitAll, signal);
    return totals.map((total, i) => total.losses(targets[i]!));
  }

  /** All logits of one sequence, [tokens, vocabulary]: for tests and short texts. */
  async logits(states: Float32Array): Promise<Float32Array> {
    const { vocabularySize, width } = this.#model.architecture;
    const tokens = states.length / width;
    const all = new Float32Array(tokens * vocabularySize);
    await this.#tiles([states], [new Int32Array(tokens)], (_, first, __, ___, logits) => {
      const rows = logits.length / tokens;
      for (let t = 0; t < tokens; t++) {
        all.set(logits.subarray(t * rows, (t + 1) * rows), t * vocabularySize + first);
      }
    });
    return all;
  }

  async #tiles(
    states: Float32Array[],
    targets: Int32Array[],
    visit: TileVisitor,
    signal?: AbortSignal,
  ): Promise<void> {
    const { vocabularySize, width, tiedHead } = this.#model.architecture;
    const gamma = new Tensor(await this.#model.tensor('norm').read(), [width]);
    const head = this.#model.tensor(tiedHead ? 'embedding' : 'head');
    for (let first = 0; first < vocabularySize; first += tileRows) {
      const rows = Math.min(tileRows, vocabularySize - first);
      const weight = new Tensor(await head.read(first, rows), [rows, width]);
      for (const [i, hidden] of states.entries()) {
        await betweenSteps(signal);
        const indices = BigInt64Array.from(targets[i]!, (target) =>
          BigInt(Math.min(Math.max(target - first, 0), rows - 1)),
        );
        const tokens = indices.length;
        const out = {
          logits: new Tensor(new Float32Array(tokens * rows), [tokens, rows]),
          logsumexp: new Tensor(new Float32Array(tokens), [tokens]),
          picked: new Tensor(new Float32Array(tokens), [tokens, 1]),
        };
        const inputs = {
          hidden: new Tensor(hidden, [tokens, width]),
          gamma,
          weight,
          targets: new Tensor(indices, [tokens, 1]),
        };
        this.#session.run(inputs, out);
        visit(i, first, out.logsumexp.data, out.picked.data, out.logits.data);
      }
    }
  }

  [Symbol.dispose](): void {
    this.#session[Symbol.dispose]();
  }
}

/** Takes what sequence `i` gives over the tile of the vocabulary that begins at `first`. */
type TileVisitor = (
  i: number,
  first: number,
  logsumexp: Float32Array,
  picked: Float32Array,
  logits: Float32Array,
) => void;

/** A log-sum-exp per token that takes in one tile after the other. */
class LogSumExp {
  readonly picked: Float64Array;
  readonly #value: Float64Array;

  constructor(tokens: number) {
    this.picked = new Float64Array(tokens);
    this.#value = new Float64Array(tokens).fill(-Infinity);
  }

  add(tile: Float32Array): void {
    tile.forEach((value, t) => {
      const high = Math.max(this.#value[t]!, value);
      this.#value[t] = high + Math.log(Math.exp(this.#value[t]! - high) + Math.exp(value - high));
    });
  }

  losses(targets: Int32Array): Float64Array {
    return this.#value.map((value, t) => (targets[t]! < 0 ? 0 : value - this.picked[t]!));
  }
}

/** The largest logit per token over one tile after the other. */
class Maximum {
  readonly tokens: Int32Array;
  readonly #values: Float64Array;

  constructor(tokens: number) {
    this.tokens = new Int32Array(tokens);
    this.#values = new Float64Array(tokens).fill(-Infinity);
  }

  /** @param logits [tokens, rows of the tile] */
  add(first: number, logits: Float32Array): void {
    const rows = logits.length / this.tokens.length;
    for (let t = 0; t < this.tokens.length; t++) {
      let value = this.#values[t]!;
      for (let row = 0; row < rows; row++) {
        const logit = logits[t * rows + row]!;
        if (logit <= value) continue;
        value = logit;
        this.tokens[t] = first + row;
      }
      this.#values[t] = value;
    }
  }
}

function headGraph(a: Architecture): Uint8Array {
  const g = new GraphBuilder();
  const hidden = g.input('hidden', 'float32', ['tokens', a.width]);
  const gamma = g.input('gamma', 'float32', [a.width]);
  const weight = g.input('weight', 'float32', ['rows', a.width]);
  const targets = g.input('targets', 'int64', ['tokens', 1]);
  const normalized = emitFinalNorm(g, a, { sum: hidden }, gamma);
  g.node('FusedMatMul', [normalized, weight], {
    domain: 'com.microsoft',
    attributes: { transB: 1 },
    outputs: ['logits'],
  });
  const axis = g.constant('axis', 'int64', [1], BigInt64Array.of(-1n));
  g.node('ReduceLogSumExp', ['logits', axis], { attributes: { keepdims: 0 }, outputs: ['logsumexp'] });
  g.node('GatherElements', ['logits', targets], { attributes: { axis: 1 }, outputs: ['picked'] });
  g.output('logits', 'float32', ['tokens', 'rows']);
  g.output('logsumexp', 'float32', ['tokens']);
  g.output('picked', 'float32', ['tokens', 1]);
  return g.build('head');
}
