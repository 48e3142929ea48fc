import type { SessionOptions } from '../../artifact/onnxruntime/session.ts';
import type { Checkpoint } from '../checkpoint/checkpoint.ts';
import { embed } from '../forward/embed.ts';
import type { Student, Vocabulary } from '../student/student.ts';
import { AdamW } from './adamw.ts';
import { asksTeacher, type CureOptions, type CureSettings, trainsBlocks } from './cure-options.ts';
import type { StepReport } from './cure-report.ts';
import type { Batch } from './data/packed.ts';
import { type Head, readHead } from './head.ts';
import type { MemoryPlan } from './memory.ts';
import type { Optimizer } from './optimizer.ts';
import { RoundedBlocks } from './rounded-blocks.ts';
import { commonArchitecture, SparseGrad } from './sparse-grad.ts';
import { StudentPass, type Trace } from './student-pass.ts';
import { tailLoss } from './tail-loss.ts';
import { type Lesson, Teacher } from './teacher.ts';
import { type Loss, TiledLoss } from './tiled-loss.ts';
import type { TrainedWeights } from './trained-weights.ts';

/** What one step measures. */
export type StepLosses = Pick<StepReport, 'loss' | 'crossEntropy' | 'divergence' | 'tail' | 'gradientNorm'>;

/** Batches to measure on, and what the teacher says to them, where there is one. */
export interface Exam {
  batches: Batch[];
  /** Final states, and the mean cross-entropy in nats a token. */
  teacher: { states: Float32Array[]; loss: number } | undefined;
}

/** Teacher, student, loss and optimizer: one step after the other, and the measurement between them. */
export class CureRun implements Disposable {
  readonly #checkpoint: Checkpoint;
  readonly #weights: TrainedWeights;
  readonly #settings: CureSettings;
  /** None where the loss does not ask it. */
  readonly #teacher: Teacher | undefined;
  readonly #student: Student;
  /** What runs for the weights' blocks, where those are trained to round well. */
  readonly #rounded: RoundedBlocks | undefined;
  readonly #pass: StudentPass;
  readonly #loss: TiledLoss;
  readonly #teacherHead: Head;
  readonly #head: Head;
  readonly optimizer: Optimizer;
  /** The last layers of the student, and the teacher's whose outputs they are drawn to. */
  readonly #tail: { index: number; source: number }[];

  /** Reads the head. @param keep what may stay in memory */
  static async open(
    checkpoint: Checkpoint,
    weights: TrainedWeights,
    settings: CureSettings,
    keep: Pick<MemoryPlan, 'keepTeacher' | 'keepActivations'>,
    { codes, session = {} }: Pick<CureOptions, 'codes' | 'session'> = {},
  ): Promise<CureRun> {
    const rounded = codes && new RoundedBlocks(weights.blocks, codes);
    return new CureRun(checkpoint, weights, rounded, settings, await readHead(checkpoint), keep, session);
  }

  private constructor(
    checkpoint: Checkpoint,
    weights: TrainedWeights,
    rounded: RoundedBlocks | undefined,
    settings: CureSettings,
    head: Head,
    keep: Pick<MemoryPlan, 'keepTeacher' | 'keepActivations'>,
    session: SessionOptions,
  ) {
    const { width, normEpsilon } = checkpoint.architecture;
    const { part, batch, length, weightDecay, clipNorm, tailLayers } = settings;
    const shape = { batch, tokens: length };
    this.#checkpoint = checkpoint;
    this.#weights = weights;
    this.#settings = settings;
    this.#teacherHead = head;
    const { embedding, head: ownHead } = weights.vocabulary;
    // Where embedding and head are not trained, both models have the checkpoint's.
    this.#head = { norm: weights.finalNorm, weight: ownHead ?? embedding ?? head.weight };
    this.#teacher = asksTeacher(settings)
      ? new Teacher(checkpoint, shape, keep.keepTeacher, session)
      : undefined;
    this.#student = weights.asStudent();
    this.#rounded = rounded;
    this.#pass = new StudentPass(weights, shape, part, keep.keepActivations, session, rounded?.blocks);
    this.#loss = new TiledLoss({ width, normEpsilon, ...session });
    const vectorRate = trainsBlocks(part) ? settings.vectorRate : 1;
    const rates = { vectorRate, gainRate: settings.gainRate };
    const how = { weightDecay, clipNorm, ...rates, ...session };
    const { parameters } = weights;
    this.optimizer =
      settings.sparseGradients === undefined
        ? new AdamW(parameters, how)
        : new SparseGrad(parameters, commonArchitecture(weights), settings.sparseGradients, how);
    this.#tail = [...weights.layers.entries()]
      .slice(Math.max(0, weights.layers.length - tailLayers))
      .map(([index, { source }]) => ({ index, source }));
  }

  /**
   * What the optimizer wants to know of the first gradients, where it does.
   * @param next gives the batches of one step, then of the one after it
   */
  async prepareOptimizer(
    next: () => Batch[],
    onProgress: (done: number, total: number) => void,
    signal?: AbortSignal,
  ): Promise<void> {
    const gradients = async () => {
      await this.#gradients(next(), signal);
    };
    await this.optimizer.prepare?.({ gradients, onProgress, ...(signal && { signal }) });
  }

  /** @param batches of one step */
  async step(batches: Batch[], learningRate: number, signal?: AbortSignal): Promise<StepLosses> {
    const losses = await this.#gradients(batches, signal);
    return { ...losses, gradientNorm: this.optimizer.step(learningRate) };
  }

  /** Fills the gradients of all weights with those of a step's batches. */
  async #gradients(batches: Batch[], signal?: AbortSignal): Promise<Omit<StepLosses, 'gradientNorm'>> {
    const { crossEntropy, divergence } = this.#settings;
    const wanted = new Set(this.#tail.map(({ source }) => source));
    const embedded = await this.#embed(batches);
    const lesson = await this.#teach(batches, embedded, wanted, signal);
    this.#weights.zeroGradients();
    this.#rounded?.refresh();
    const { embedding, head } = this.#weights.gradients.vocabulary;
    const headGradient = head ?? embedding;
    const sums = { loss: 0, crossEntropy: 0, divergence: 0, tail: 0 };
    for (const [i, { tokens, targets }] of batches.entries()) {
      const trace = await this.#pass.forward(embedded[i]!, signal);
      const loss = this.#loss.run({
        hidden: trace.final,
        head: this.#head,
        targets,
        weights: { crossEntropy, divergence },
        ...(lesson && { teacher: { hidden: lesson.final[i]!, head: this.#teacherHead } }),
        ...(headGradient && { headGradient }),
        denominator: targets.length * batches.length,
      });
      const norm = this.#weights.gradients.finalNorm;
      for (let k = 0; k < norm.length; k++) norm[k]! += loss.norm[k]!;
      const output = crossEntropy * loss.crossEntropy + divergence * loss.divergence;
      const tail = this.#tailLosses(trace, lesson, output, i, batches.length);
      sums.loss += output + tail.weight * tail.mean;
      sums.crossEntropy += loss.crossEntropy;
      sums.divergence += loss.divergence;
      sums.tail += tail.mean;
      const gradient = await this.#pass.backward(trace, loss.hidden, tail.gradients, signal);
      this.#addToEmbedding(tokens, gradient);
    }
    return sums;
  }

  /**
   * One batch's part of the mean over layers and the step's tokens, its weight in the loss, and its gradients by layer.
   * @param output the batch's part of the rest of the loss
   */
  #tailLosses(trace: Trace, lesson: Lesson | undefined, output: number, batch: number, batches: number) {
    const { width } = this.#checkpoint.architecture;
    const { tailWeight, balanceTail } = this.#settings;
    const tokens = (trace.final.length / width) * batches;
    const share = 1 / (tokens * Math.max(this.#tail.length, 1));
    const compared = this.#tail.map(({ index, source }) => ({
      index,
      ...tailLoss(trace.outputs[index]!, lesson!.outputs.get(source)![batch]!, width, share),
    }));
    const mean = compared.reduce((all, { sum }) => all + sum * share, 0);
    // A number, not a part of what is differentiated: to make the output worse gains nothing.
    const weight = balanceTail && mean > 0 ? (tailWeight * output) / mean : tailWeight;
    for (const { gradient } of compared) for (let i = 0; i < gradient.length; i++) gradient[i]! *= weight;
    return { mean, weight, gradients: new Map(compared.map(({ index, gradient }) => [index, gradient])) };
  }

  /** What the teacher says to batches that are measured on again and again. */
  async prepare(batches: Batch[], signal?: AbortSignal): Promise<Exam> {
    const lesson = await this.#teach(batches, undefined, new Set(), signal);
    if (!lesson) return { batches, teacher: undefined };
    const losses = lesson.final.map((hidden, i) => this.#measure(hidden, this.#teacherHead, batches[i]!));
    const loss = mean(losses.map(({ crossEntropy }) => crossEntropy));
    return { batches, teacher: { states: lesson.final, loss } };
  }

  /** Means over the batches in nats a token. */
  async examine({ batches, teacher }: Exam, signal?: AbortSignal) {
    this.#rounded?.refresh();
    const embedded = await this.#embed(batches);
    const losses: Loss[] = [];
    for (const [i, batch] of batches.entries()) {
      const { final } = await this.#pass.forward(embedded[i]!, signal);
      losses.push(this.#measure(final, this.#head, batch, teacher?.states[i]));
    }
    return {
      crossEntropy: mean(losses.map(({ crossEntropy }) => crossEntropy)),
      divergence: mean(losses.map(({ divergence }) => divergence)),
    };
  }

  #embed(batches: Batch[], model: Vocabulary = this.#student): Promise<Float32Array[]> {
    return embed(
      model,
      batches.map(({ tokens }) => tokens),
    );
  }

  /** @param embedded by the student, which is the teacher's own where embeddings are not trained */
  async #teach(
    batches: Batch[],
    embedded: Float32Array[] | undefined,
    wanted: ReadonlySet<number>,
    signal: AbortSignal | undefined,
  ): Promise<Lesson | undefined> {
    if (!this.#teacher) return undefined;
    const own = this.#weights.vocabulary.embedding || !embedded;
    const states = own ? await this.#embed(batches, this.#checkpoint) : embedded;
    return this.#teacher.teach(states, wanted, signal);
  }

  /** @param gradient dLoss/dHidden of the embedded tokens, [tokens, width] */
  #addToEmbedding(tokens: Int32Array, gradient: Float32Array): void {
    const { embedding } = this.#weights.gradients.vocabulary;
    if (!embedding) return;
    const { width, embeddingScale } = this.#weights.architecture;
    for (const [position, token] of tokens.entries()) {
      const [from, to] = [position * width, token * width];
      for (let i = 0; i < width; i++) embedding[to + i]! += embeddingScale * gradient[from + i]!;
    }
  }

  /** Losses without gradients. */
  #measure(hidden: Float32Array, head: Head, { targets }: Batch, states?: Float32Array): Loss {
    const teacher = states && { hidden: states, head: this.#teacherHead };
    const weights = { crossEntropy: 0, divergence: teacher ? 1 : 0 };
    return this.#loss.run({ hidden, head, targets, weights, ...(teacher && { teacher }) });
  }

  [Symbol.dispose](): void {
    for (const each of [this.#teacher, this.#pass, this.#loss, this.optimizer]) each?.[Symbol.dispose]();
  }
}

function mean(values: number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
