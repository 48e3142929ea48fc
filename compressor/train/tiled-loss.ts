import type { SessionOptions } from '../../artifact/onnxruntime/session.ts';
import { Tensor } from '../../artifact/onnxruntime/tensor.ts';
import type { Head } from './head.ts';
import { LogitTiles, type TileSizes, tokensAtATime } from './logit-tiles.ts';
import {
  addProductGraph,
  logitGradientGraph,
  logitsGraph,
  normGradientGraph,
  normGraph,
} from './loss-graphs.ts';
import { trainingSession } from './session.ts';

export interface TiledLossOptions extends SessionOptions, TileSizes {
  width: number;
  normEpsilon: number;
}

export interface LossRequest {
  /** Hidden states after the student's last layer, [tokens, width]. */
  hidden: Float32Array;
  head: Head;
  /** The token that follows each position; -1 where none counts, for either part of the loss. */
  targets: Int32Array;
  /** The loss is crossEntropy * cross-entropy + divergence * KL(teacher || student), each a mean in nats. */
  weights: { crossEntropy: number; divergence: number };
  /** The teacher's hidden states after its last layer. @default none: the divergence is 0 */
  teacher?: { hidden: Float32Array; head: Head };
  /** What sums are divided by, where the mean is over more than these tokens. @default those that count */
  denominator?: number;
  /** Takes the gradient of the student's head, added to what is there; of the embedding, where they are tied. */
  headGradient?: Float32Array;
}

export interface Loss {
  /** Sum over the tokens that count, divided by the denominator. */
  crossEntropy: number;
  /** As above; 0 where it has no weight. */
  divergence: number;
  /** Tokens that count. */
  tokens: number;
  /** dLoss/dHidden, [tokens, width]; 0 where no target counts. */
  hidden: Float32Array;
  /** dLoss/dNorm, [width]. */
  norm: Float32Array;
}

/** A few tokens on their way through the loss. */
interface Part {
  /** Of the request's tokens. */
  positions: number[];
  hidden: Tensor<Float32Array>;
  targets: number[];
  /** Weights of the two parts for one token. */
  hard: number;
  soft: number;
}

/**
 * Final norm, head, cross-entropy and distillation with their gradients, in tiles of tokens and vocabulary:
 * the first pass takes each token's log-sum-exp, the second the gradient, which is softmax minus target.
 * Memory does not grow with vocabulary x tokens.
 */
export class TiledLoss implements Disposable {
  readonly #width: number;
  readonly #sizes: TileSizes;
  readonly #sessions: ReturnType<typeof openSessions>;
  /** Reused from call to call. */
  readonly #memory = {
    student: new Float32Array(),
    teacher: new Float32Array(),
    gradient: new Float32Array(),
  };

  constructor({ width, normEpsilon, keptLogits, tileLogits, ...options }: TiledLossOptions) {
    this.#width = width;
    this.#sizes = { ...(keptLogits && { keptLogits }), ...(tileLogits && { tileLogits }) };
    this.#sessions = openSessions(width, normEpsilon, options);
  }

  /** @throws RangeError where sizes do not fit together */
  run(request: LossRequest): Loss {
    checkSizes(request, this.#width);
    const { hidden, head, targets, weights } = request;
    const counted = [...targets.keys()].filter((t) => targets[t]! >= 0);
    const share = 1 / (request.denominator ?? counted.length);
    const loss: Loss = {
      crossEntropy: 0,
      divergence: 0,
      tokens: counted.length,
      hidden: new Float32Array(hidden.length),
      norm: new Float32Array(this.#width),
    };
    const step = tokensAtATime(head.weight.length / this.#width, this.#sizes);
    for (let start = 0; start < counted.length; start += step) {
      const positions = counted.slice(start, start + step);
      const part = {
        positions,
        hidden: this.#gather(hidden, positions),
        targets: positions.map((t) => targets[t]!),
        hard: weights.crossEntropy * share,
        soft: request.teacher ? weights.divergence * share : 0,
      };
      this.#addPart(request, part, share, loss);
    }
    return loss;
  }

  #addPart(request: LossRequest, part: Part, share: number, loss: Loss): void {
    const normalized = this.#norm(part.hidden, request.head);
    const student = this.#logits(normalized, request.head, 'student');
    for (const [t, target] of part.targets.entries())
      loss.crossEntropy += (student.logsumexp[t]! - student.at(t, target)) * share;
    let teacher: LogitTiles | undefined;
    if (request.teacher && part.soft > 0) {
      const hidden = this.#gather(request.teacher.hidden, part.positions);
      teacher = this.#logits(this.#norm(hidden, request.teacher.head), request.teacher.head, 'teacher');
      // The part of the divergence that all pieces of the vocabulary share.
      for (const [t, value] of student.logsumexp.entries())
        loss.divergence += (value - teacher.logsumexp[t]!) * share;
    }
    if (part.hard + part.soft === 0) return;
    const dNormalized = tensor(part.hidden.shape);
    for (const { gradient, divergence, tile } of this.#logitGradients(part, student, teacher)) {
      loss.divergence += divergence * share;
      const sums = { a: gradient, b: tile.weight, sum: dNormalized };
      this.#sessions.addProduct.run(sums, { total: dNormalized });
      if (!request.headGradient) continue;
      const offset = tile.first * this.#width;
      const rows = request.headGradient.subarray(offset, offset + tile.weight.data.length);
      const sum = new Tensor(rows, tile.weight.shape);
      this.#sessions.addTransposed.run({ a: gradient, b: normalized, sum }, { total: sum });
    }
    this.#addNormGradient(request.head, part, dNormalized, loss);
  }

  /** All logits of some tokens and their log-sum-exp: the first pass. */
  #logits(normalized: Tensor, head: Head, model: 'student' | 'teacher'): LogitTiles {
    const tokens = normalized.shape[0]!;
    const memory = this.#reserve(model, tokens * (head.weight.length / this.#width));
    const logits = new LogitTiles(tokens, head.weight, this.#width, memory, this.#sizes);
    const logsumexp = tensor([tokens, 1]);
    for (const tile of logits.tiles) {
      const outputs = { logits: tile.logits, logsumexp };
      this.#sessions.logits.run({ hidden: normalized, weight: tile.weight }, outputs);
      logits.add(logsumexp.data);
    }
    return logits;
  }

  /** dLoss/dLogits of one tile after the other, each in the same memory: the second pass. */
  *#logitGradients({ targets, hard, soft }: Part, student: LogitTiles, teacher: LogitTiles | undefined) {
    const shift = student.shift(hard + soft);
    const teacherShift = teacher?.shift(soft);
    const tokens = targets.length;
    const sum = tensor([tokens]);
    for (const tile of student.tiles) {
      const { first, rows } = tile;
      const gradient = new Tensor(this.#reserve('gradient', tokens * rows), [tokens, rows]);
      const inputs = { 'student.logits': tile.logits, 'student.shift': shift };
      if (teacher && teacherShift) {
        const { logits } = teacher.tiles[tile.index]!;
        const both = { ...inputs, 'teacher.logits': logits, 'teacher.shift': teacherShift };
        this.#sessions.softGradient.run(both, { gradient, divergence: sum });
      } else {
        this.#sessions.hardGradient.run(inputs, { gradient });
      }
      for (const [t, target] of targets.entries()) {
        if (target >= first && target < first + rows) gradient.data[t * rows + target - first]! -= hard;
      }
      const divergence = teacher ? sum.data.reduce((total, value) => total + value / soft, 0) : 0;
      yield { tile, gradient, divergence };
    }
  }

  #norm(hidden: Tensor, head: Head): Tensor {
    const y = tensor(hidden.shape);
    this.#sessions.norm.run({ x: hidden, gamma: new Tensor(head.norm, [this.#width]) }, { y });
    return y;
  }

  #addNormGradient(head: Head, { hidden, positions }: Part, dy: Tensor, loss: Loss): void {
    const width = this.#width;
    const [dx, dgamma] = [tensor(hidden.shape), tensor([width])];
    const gamma = new Tensor(head.norm, [width]);
    this.#sessions.normGradient.run({ x: hidden, gamma, dy }, { dx, dgamma });
    for (const [i, position] of positions.entries())
      loss.hidden.set(dx.data.subarray(i * width, (i + 1) * width), position * width);
    for (let i = 0; i < width; i++) loss.norm[i]! += dgamma.data[i]!;
  }

  #gather(hidden: Float32Array, positions: number[]): Tensor<Float32Array> {
    const width = this.#width;
    const rows = tensor([positions.length, width]);
    for (const [i, position] of positions.entries())
      rows.data.set(hidden.subarray(position * width, (position + 1) * width), i * width);
    return rows;
  }

  #reserve(use: 'student' | 'teacher' | 'gradient', length: number): Float32Array {
    if (this.#memory[use].length < length) this.#memory[use] = new Float32Array(length);
    return this.#memory[use].subarray(0, length);
  }

  [Symbol.dispose](): void {
    for (const session of Object.values(this.#sessions)) session[Symbol.dispose]();
  }
}

function openSessions(width: number, epsilon: number, options: SessionOptions) {
  const open = (graph: Uint8Array) => trainingSession(graph, options);
  return {
    logits: open(logitsGraph(width)),
    hardGradient: open(logitGradientGraph(false)),
    softGradient: open(logitGradientGraph(true)),
    addProduct: open(addProductGraph(false)),
    addTransposed: open(addProductGraph(true)),
    norm: open(normGraph(width, epsilon)),
    normGradient: open(normGradientGraph(width, epsilon)),
  };
}

function tensor(shape: readonly number[]): Tensor<Float32Array> {
  return new Tensor(new Float32Array(shape.reduce((product, length) => product * length, 1)), shape);
}

function checkSizes({ hidden, head, targets, teacher, headGradient }: LossRequest, width: number): void {
  const expect = (what: string, length: number, wanted: number) => {
    if (length !== wanted) throw new RangeError(`${what} has ${length} numbers, expected ${wanted}.`);
  };
  const vocabulary = Math.ceil(head.weight.length / width);
  expect('The student state', hidden.length, targets.length * width);
  expect('The head', head.weight.length, vocabulary * width);
  expect('The final norm', head.norm.length, width);
  if (teacher) {
    expect('The teacher state', teacher.hidden.length, hidden.length);
    expect("The teacher's head", teacher.head.weight.length, head.weight.length);
  }
  if (headGradient) expect("The head's gradient", headGradient.length, head.weight.length);
  for (const target of targets) {
    if (target >= vocabulary)
      throw new RangeError(`Target ${target}: the vocabulary has ${vocabulary} pieces.`);
  }
}
