import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { withResource } from '../../artifact/dispose.ts';
import type { Checkpoint } from '../checkpoint/checkpoint.ts';
import { betweenSteps } from '../forward/between-steps.ts';
import type { Student } from '../student/student.ts';
import { type CureOptions, type CureSettings, settle, stepsOf } from './cure-options.ts';
import type { HeldOut, StepReport } from './cure-report.ts';
import { CureRun, type Exam } from './cure-run.ts';
import { CureState } from './cure-state.ts';
import { readDocuments } from './data/documents.ts';
import { DocumentEncoder } from './data/encoder.ts';
import { digestOfAll, splitDocuments } from './data/order.ts';
import { type Batch, PackedSequences } from './data/packed.ts';
import { checkMemory, planMemory } from './memory.ts';
import { Metrics } from './metrics.ts';
import { learningRate } from './schedule.ts';
import { TrainedWeights } from './trained-weights.ts';

export interface Cured {
  student: Student;
  settings: CureSettings;
  steps: number;
  /** Trained on. */
  tokens: number;
  data: { documents: number; heldOut: number; sha256: string };
  before: HeldOut;
  after: HeldOut;
}

/**
 * Trains a folded model to answer as the checkpoint does: forward KL of the logits, with cross-entropy and
 * the last layers' states as further parts of the loss. Embedding and head stay as they are.
 *
 * The same settings and data give the same weights, bit for bit, on one machine, however often the cure was
 * interrupted.
 *
 * @throws UsageError for settings that make no sense, too little memory, or a state of another cure
 */
export async function cure(checkpoint: Checkpoint, student: Student, options: CureOptions): Promise<Cured> {
  const settings = settle(options, checkpoint.architecture.contextLength);
  const documents = await readDocuments(options.data);
  const split = splitDocuments(documents, settings.heldOutShare);
  const memory = planMemory(student, await countPatches(student), settings);
  options.onMemory?.(memory);
  checkMemory(memory, settings);

  const weights = await TrainedWeights.read(student, settings.part);
  const run = await CureRun.open(checkpoint, weights, settings, memory.keepTeacher, options.session);
  return withResource(run, async () => {
    const sha256 = digestOfAll(documents);
    const identity = { settings, layers: student.layers, data: sha256, identity: options.identity ?? null };
    await mkdir(options.folder, { recursive: true });
    const state = await CureState.open(join(options.folder, 'state.safetensors'), identity, run.optimizer);
    const { steps } = run.optimizer;
    const metrics = await Metrics.open(join(options.folder, 'metrics.jsonl'), steps, state.measured.length);
    const encoder = await DocumentEncoder.open(checkpoint);
    const { seed, length } = settings;
    const resumed = state.position && { position: state.position };
    const sequences = new PackedSequences(split.training, encoder, { seed, length, ...resumed });
    const heldOut = heldOutBatches(
      new PackedSequences(split.heldOut, encoder, { seed: 0, length }),
      settings,
    );
    const cycle = new Cycle({ run, settings, state, sequences, heldOut, metrics, options });
    const measured = await cycle.run();
    return {
      student: weights.asStudent(),
      settings,
      steps: run.optimizer.steps,
      tokens: run.optimizer.steps * settings.tokensPerStep,
      data: { documents: documents.length, heldOut: split.heldOut.length, sha256 },
      ...measured,
    };
  });
}

async function countPatches(student: Student): Promise<number> {
  const patches = await Promise.all(student.layers.map((_, index) => student.patch(index)));
  return patches.filter((patch) => patch !== undefined).length;
}

/** As much of the documents as is measured on, once through them at most. */
function heldOutBatches(sequences: PackedSequences, { batch, length, heldOutTokens }: CureSettings): Batch[] {
  const batches: Batch[] = [];
  const wanted = Math.max(1, Math.floor(heldOutTokens / (batch * length)));
  while (batches.length < wanted && (batches.length === 0 || sequences.position.pass === 0)) {
    batches.push(sequences.next(batch));
  }
  return batches;
}

interface Parts {
  run: CureRun;
  settings: CureSettings;
  state: CureState;
  sequences: PackedSequences;
  heldOut: Batch[];
  metrics: Metrics;
  options: CureOptions;
}

/** Steps, measurements and saves in their turn. */
class Cycle {
  readonly #parts: Parts;
  #savedAt = performance.now();
  /** Of the held-out batches, once they are measured on. */
  #exam: Exam | undefined;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  async run(): Promise<{ before: HeldOut; after: HeldOut }> {
    const { run, state, settings, options } = this.#parts;
    const steps = stepsOf(settings);
    const firstStep = run.optimizer.steps;
    const startedAt = performance.now();
    try {
      for (;;) {
        if (this.#isTimeToMeasure(steps)) await this.#measure();
        if (run.optimizer.steps >= steps) break;
        await betweenSteps(options.signal);
        await this.#step(steps, firstStep, startedAt);
        const seconds = (performance.now() - this.#savedAt) / 1000;
        if (seconds >= (options.saveEverySeconds ?? 180)) await this.#save();
      }
    } catch (error) {
      // What was broken off changed neither weights nor state.
      if (options.signal?.aborted) await this.#save();
      throw error;
    }
    await this.#save();
    return { before: state.measured[0]!, after: state.measured.at(-1)! };
  }

  async #step(steps: number, firstStep: number, startedAt: number): Promise<void> {
    const { run, state, sequences, settings, metrics, options } = this.#parts;
    const { batch, length, tokensPerStep, learningRate: peak, warmupSteps: warmup, floor } = settings;
    const count = tokensPerStep / length / batch;
    const batches = Array.from({ length: count }, () => sequences.next(batch));
    const rate = learningRate({ peak, steps, warmup, floor }, run.optimizer.steps);
    const losses = await run.step(batches, rate, options.signal);
    state.position = sequences.position;
    const step = run.optimizer.steps;
    const secondsPerStep = (performance.now() - startedAt) / 1000 / (step - firstStep);
    const report: StepReport = {
      step,
      steps,
      tokens: step * tokensPerStep,
      ...losses,
      learningRate: rate,
      tokensPerSecond: tokensPerStep / secondsPerStep,
      secondsLeft: secondsPerStep * (steps - step),
    };
    await metrics.add(report);
    options.onStep?.(report);
  }

  #isTimeToMeasure(steps: number): boolean {
    const { run, state, settings } = this.#parts;
    const { tokensPerStep, evaluateEvery } = settings;
    const step = run.optimizer.steps;
    if (state.measured.at(-1)?.step === step) return false;
    const times = (after: number) => Math.floor((after * tokensPerStep) / evaluateEvery);
    return step === 0 || step === steps || times(step) > times(step - 1);
  }

  async #measure(): Promise<void> {
    const { run, state, settings, heldOut, metrics, options } = this.#parts;
    const step = run.optimizer.steps;
    this.#exam ??= await run.prepare(heldOut, options.signal);
    const { crossEntropy, divergence } = await run.examine(this.#exam, options.signal);
    const measured: HeldOut = {
      step,
      tokens: step * settings.tokensPerStep,
      perplexity: Math.exp(crossEntropy),
      teacherPerplexity: Math.exp(this.#exam.teacherLoss),
      divergence,
      measured: heldOut.reduce((sum, { targets }) => sum + targets.length, 0),
    };
    state.measured.push(measured);
    await metrics.add({ heldOut: true, ...measured });
    options.onHeldOut?.(measured);
  }

  async #save(): Promise<void> {
    await this.#parts.state.save();
    this.#savedAt = performance.now();
  }
}
