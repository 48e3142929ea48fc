import { betweenSteps } from '../forward/between-steps.ts';
import { type CureOptions, type CureSettings, stepsOf } from './cure-options.ts';
import type { HeldOut, StepReport } from './cure-report.ts';
import type { CureRun, Exam } from './cure-run.ts';
import type { CureState } from './cure-state.ts';
import type { Batch, PackedSequences } from './data/packed.ts';
import type { Metrics } from './metrics.ts';
import { learningRate } from './schedule.ts';

export interface CureParts {
  run: CureRun;
  settings: CureSettings;
  state: CureState;
  sequences: PackedSequences;
  /** Measured on, never trained on. */
  heldOut: Batch[];
  metrics: Metrics;
  options: CureOptions;
}

/** Steps, measurements and saves in their turn. */
export class CureCycle {
  readonly #parts: CureParts;
  #savedAt = performance.now();
  /** Of the held-out batches, once they are measured on. */
  #exam: Exam | undefined;

  constructor(parts: CureParts) {
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
    const { tokensPerStep, learningRate: peak, warmupSteps: warmup, floor } = settings;
    const batches = nextBatches(sequences, settings);
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
      ...(this.#exam.teacher && { teacherPerplexity: Math.exp(this.#exam.teacher.loss) }),
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

/** Those of one step. */
export function nextBatches(
  sequences: PackedSequences,
  { batch, length, tokensPerStep }: CureSettings,
): Batch[] {
  return Array.from({ length: tokensPerStep / length / batch }, () => sequences.next(batch));
}
