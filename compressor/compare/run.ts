import { basename, join } from 'node:path';
import { writeAtomically } from '../../artifact/store/atomic-file.ts';
import { fingerprint } from '../checkpoint/fingerprint.ts';
import { methods } from '../methods/index.ts';
import type { FoldPlan } from '../plan/plan.ts';
import { decisive, heldOutShare } from '../train/cure-options.ts';
import { type CureRequest, examine, foldFor, type MeasureSetting } from './measure.ts';
import { methodPlan, wholePlan } from './method-plan.ts';
import type { CompareOptions, CompareStep } from './options.ts';
import { comparisonFile, comparisonVersion } from './read.ts';
import { type CompareResult, type CompareRow, type Comparison, control, original, quantize } from './row.ts';
import { quantizeTo, sizeOf } from './same-bytes.ts';
import { servingCosts } from './serving.ts';
import { layerSimilarity } from './similarity.ts';
import { digestOf, StepFiles } from './step-files.ts';
import { readTexts } from './texts.ts';

const promptCount = 3;

/** Tokens that layers are compared on: their states at all depths are held in memory. */
const similarityTokens = 512;

/** One comparison, from its first step to its last. */
export class Run {
  readonly folder: string;
  readonly #options: CompareOptions;
  readonly #setting: MeasureSetting;
  /** What every step depends on. */
  readonly #identity: unknown;
  readonly #files: StepFiles;
  readonly #comparison: Comparison;
  readonly #steps: number;
  readonly #seconds: number[] = [];
  /** Whose turn it is, for the progress. */
  #now = '';

  static async open(options: CompareOptions): Promise<Run> {
    const { checkpoint, data, heldOutTokens, tasks, version, calibrate, rankTokens } = options;
    const texts = await readTexts(checkpoint, data, { heldOutShare, heldOutTokens, prompts: promptCount });
    const identity = [
      ...[version, await fingerprint(checkpoint), texts.digest, heldOutTokens, rankTokens, calibrate],
      ...[decisive(options.cure), options.quantize, digestOf(tasks)],
    ];
    const folder = options.folder(digestOf(identity));
    const textOf = options.detokenizer(texts.tokenizer);
    return new Run(options, { ...options, folder, texts, textOf }, identity);
  }

  private constructor(options: CompareOptions, setting: MeasureSetting, identity: unknown) {
    const { checkpoint, methods: names, budgets, cure } = options;
    this.#options = options;
    const onProgress: MeasureSetting['onProgress'] = (step, ...rest) =>
      options.onProgress?.(`${this.#now}: ${step}`, ...rest);
    this.#setting = { ...setting, onProgress };
    this.#identity = identity;
    this.folder = setting.folder;
    this.#files = new StepFiles(join(this.folder, 'steps'));
    this.#steps = 3 + (cure.tokens > 0 ? 1 : 0) + names.length * budgets.length;
    this.#comparison = {
      version: comparisonVersion,
      checkpoint: checkpoint.name,
      checkpointLayers: checkpoint.architecture.layers.length,
      data: options.data.map((path) => basename(path)),
      heldOutTokens: setting.texts.heldOut.tokens,
      cureTokens: cure.tokens,
      seed: cure.seed ?? 1,
      quantize: options.quantize,
      tasks: options.tasks.map(({ name }) => name),
      prompts: setting.texts.prompts.map(({ text }) => text),
      createdAt: new Date().toISOString(),
      similarity: [],
      results: [],
    };
  }

  async run(): Promise<Comparison> {
    const { checkpoint, budgets, methods: names, cure } = this.#options;
    await this.#similarity();
    const whole = wholePlan(checkpoint, this.#options.quantize);
    const reference = await this.#measure({ method: original, budget: null }, original, whole, undefined);
    if (cure.tokens > 0) {
      // Distilled from itself it would have nothing to learn: it is trained on the text's own tokens.
      const plainly = { ...cure, crossEntropy: 1, divergence: 0, tailLayers: 0 };
      await this.#measure({ method: control, budget: null }, control, whole, plainly);
    }
    const overhead = reference.row.bytes - sizeOf(checkpoint, whole, whole.quantize);
    for (const budget of budgets) {
      const bytes: number[] = [];
      for (const name of names) if (name !== quantize) bytes.push(await this.#fold(name, budget));
      if (names.includes(quantize)) await this.#quantize(budget, Math.min(...bytes), overhead);
    }
    await this.#serving();
    return this.#comparison;
  }

  /** Times all models in turn, the original first. */
  async #serving(): Promise<void> {
    const { onProgress, signal } = this.#options;
    const rows = this.#comparison.results.map(({ row }) => row);
    const text = this.#setting.texts.heldOut.windows[0]!;
    const { result, ...rest } = await this.#files.once('serving', [this.#identity, rows], () =>
      servingCosts(
        rows.map(({ model }) => model),
        text,
        {
          onProgress: (done, total) => onProgress?.('Timing all models in turn', done, total),
          ...(signal && { signal }),
        },
      ),
    );
    for (const [i, row] of rows.entries()) row.serving = result[i]!;
    await this.#finish({ name: 'speed and memory', ...rest });
  }

  async #similarity(): Promise<void> {
    const { checkpoint, onProgress, signal } = this.#options;
    const { windows } = this.#setting.texts.training(similarityTokens);
    const { result, ...rest } = await this.#files.once('similarity', this.#identity, () =>
      layerSimilarity(checkpoint, windows, {
        onProgress: (done, total) => onProgress?.('Comparing layers', done, total),
        ...(signal && { signal }),
      }),
    );
    this.#comparison.similarity = result;
    await this.#finish({ name: 'similarity of layers', ...rest });
  }

  /** @returns bytes of the folded model */
  async #fold(method: string, budget: number): Promise<number> {
    const { checkpoint, rankTokens, cure, signal } = this.#options;
    const way = methods[method]!;
    const name = `${method}-${budget}`;
    this.#now = labelOf({ method, budget });
    const { result: plan, seconds } = await this.#files.once(
      `${name}-plan`,
      [this.#identity, method, budget],
      () => {
        const text = this.#setting.texts.training(way.calibrationTokens ?? rankTokens);
        return methodPlan(checkpoint, way, budget, this.#options.quantize, text, {
          onProgress: (done, total) => this.#setting.onProgress?.(`ranking by ${way.rank}`, done, total),
          ...(signal && { signal }),
        });
      },
    );
    return (await this.#measure({ method, budget, seconds }, name, plan, cure.tokens > 0 ? cure : undefined))
      .row.bytes;
  }

  /** The unfolded model in no more bytes than the smallest folded one. */
  async #quantize(budget: number, bytes: number, overhead: number): Promise<void> {
    const { checkpoint, calibrate } = this.#options;
    const whole = wholePlan(checkpoint, 'int4');
    const form = quantizeTo(checkpoint, whole, bytes, overhead, calibrate !== 'none');
    const plan = wholePlan(checkpoint, form.quantize);
    const note = `no form of the unfolded model is as small as ${bytes} bytes: this is the smallest`;
    const about = { method: quantize, budget, ...(!form.fits && { note }) };
    await this.#measure(about, `quantize-${form.quantize.replaceAll(/[^a-z0-9]+/g, '-')}`, plan, undefined);
  }

  async #measure(
    about: Pick<CompareRow, 'method' | 'budget' | 'note'> & { seconds?: number },
    name: string,
    plan: FoldPlan,
    cure: Omit<CureRequest, 'data'> | undefined,
  ): Promise<CompareResult> {
    const { data } = this.#options;
    const request = cure && { ...cure, data, heldOutShare, heldOutTokens: this.#options.heldOutTokens };
    const how = cure && { crossEntropy: cure.crossEntropy, divergence: cure.divergence };
    this.#now = labelOf(about);
    const identity = [this.#identity, plan, how];
    const folded = await this.#files.once(`${name}-fold`, identity, () =>
      foldFor(name, plan, request, this.#files.pathOf(name, 'cure.jsonl'), this.#setting),
    );
    const { row, ...rest } = folded.result;
    const exam = await this.#files.once(name, identity, () => examine(row.model, this.#setting));
    const { tasks, samples } = exam.result;
    const { method, budget, note, seconds: ranking = 0 } = about;
    const seconds = ranking + folded.seconds + exam.seconds;
    const result: CompareResult = {
      ...rest,
      row: { method, budget, ...row, tasks, seconds, ...(note !== undefined && { note }) },
      samples,
    };
    this.#comparison.results.push(result);
    await this.#finish({ name: labelOf(about), seconds, isNew: folded.isNew || exam.isNew, result });
    return result;
  }

  async #finish(step: Omit<CompareStep, 'done' | 'total' | 'secondsLeft'>): Promise<void> {
    const path = join(this.folder, comparisonFile);
    await writeAtomically(path, (file) => file.writeFile(`${JSON.stringify(this.#comparison)}\n`));
    this.#seconds.push(step.seconds);
    const done = this.#seconds.length;
    // Folds with a cure cost most and are most of what is left; the similarity says nothing of them.
    const [, ...folds] = this.#seconds;
    const mean = folds.reduce((sum, seconds) => sum + seconds, 0) / Math.max(1, folds.length);
    const total = this.#steps;
    this.#options.onStep?.({ ...step, done, total, secondsLeft: mean * (total - done) });
  }
}

function labelOf({ method, budget }: Pick<CompareRow, 'method' | 'budget'>): string {
  return budget === null ? method : `${method} at ${budget}`;
}
