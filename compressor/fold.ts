import { type PromptWeightType, withPromptWeights } from '../artifact/decoder/prompt-weights.ts';
import { withResource } from '../artifact/dispose.ts';
import { InvalidDataError } from '../artifact/errors.ts';
import { bytesOf, type Manifest, type MatrixKind, type Precision } from '../artifact/manifest.ts';
import { publish } from '../artifact/models/publish.ts';
import type { Store } from '../artifact/store/store.ts';
import type { Checkpoint } from './checkpoint/checkpoint.ts';
import { fingerprint } from './checkpoint/fingerprint.ts';
import { evaluateFolded } from './evaluate/folded.ts';
import { type EvaluateOptions, evaluateStudent } from './evaluate/student.ts';
import type { Quality, TextWindows } from './evaluate/windows.ts';
import { type ExportedModel, exportModel } from './export/export.ts';
import {
  makeQuantizer,
  type Quantization,
  quantizationIdentity,
  quantizationOf,
  quantizedForm,
} from './export/make-quantizer.ts';
import { writtenCodes } from './export/read-codes.ts';
import { WorkFolder } from './export/work-folder.ts';
import type { FoldPlan } from './plan/plan.ts';
import type { BlockQuantizer } from './quantize/block-quantizer.ts';
import { type Calibration, checkCalibration } from './quantize/calibration.ts';
import { bitsBudget, parsePrecision, resolvePrecision } from './quantize/precision.ts';
import { type MakeStudentOptions, makeStudent, type Stage, studentIdentity } from './student/make-student.ts';
import { blocksOf, type Student } from './student/student.ts';
import {
  AwareQuantizer,
  type AwareTraining,
  awareStage,
  checkAware,
  trainAware,
} from './student/train-aware.ts';
import { mixturesOf } from './weights/mixture.ts';

/** The step whose progress is told in bytes. */
export const publishingStep = 'Publishing';

export interface FoldOptions {
  checkpoint: Checkpoint;
  plan: FoldPlan;
  store: Store;
  name: string;
  /** Folder for work in progress; an interrupted fold is taken up from here. */
  workFolder: string;
  /** The program's version and the options it was called with, for the manifest. */
  version: string;
  options: Record<string, unknown>;
  /** What patches are fitted on, where the plan has any. */
  fit?: TextWindows;
  /** What int4 matrices are fitted to, and how. @default none: they are rounded to nearest */
  calibrate?: Calibration;
  /** Windows of a text that the scales of an int8 cache are taken from. @default the model can have none */
  cacheText?: readonly Int32Array[];
  /** What the model is to be able to read prompts with, beside the weights that make its answers. @default 'same' */
  promptWeights?: PromptWeightType | undefined;
  /** Distillation after removing and sharing. @default none */
  cure?: NonNullable<MakeStudentOptions['cure']>;
  /**
   * Quantization-aware training of the result: what it gives, rounded to nearest, is published where it does better on the
   * quality's text than the calibrated codes, or where nothing is measured. @default none
   */
  aware?: AwareTraining;
  /** Measures what each step costs in perplexity; left out where absent. */
  quality?: { text: TextWindows; description: string };
  /** Called through each step of the work. */
  onProgress?: (step: string, done: number, total: number) => void;
  /** Something worth a line: another process is at the same fold. */
  onNotice?: (message: string) => void;
  signal?: AbortSignal;
}

export interface FoldResult {
  manifest: Manifest;
  /** sha256 of the published manifest. */
  version: string;
  quality: (Quality & { stage: string })[];
  resumedSteps: number;
}

/** Folds a checkpoint by a plan and publishes the result: nothing of it is visible before all of it is there. */
export async function fold(options: FoldOptions): Promise<FoldResult> {
  const { checkpoint, plan, signal } = options;
  const precision = resolvePrecision(checkpoint, plan, parsePrecision(plan.quantize));
  // What the written blobs depend on; how the layers were ranked, say, is not among it.
  const mixtures = mixturesOf(plan);
  const { version, workFolder } = options;
  const quantization = quantizationOf(precision, bitsBudget(plan.quantize), options.calibrate);
  if (options.aware) checkAware(precision);
  checkCalibration(options.calibrate?.method, plan.adapter);
  const identity = [
    version,
    await fingerprint(checkpoint),
    plan.layers,
    plan.adapter,
    plan.widths,
    mixtures,
    quantizationIdentity(quantization),
    await studentIdentity(options),
    ...(options.aware ? [await studentIdentity({ plan, cure: options.aware })] : []),
  ];
  const onWait = () =>
    options.onNotice?.('Another process is folding the same. Waiting until it has published its result.');
  const how = { onWait, ...(signal && { signal }) };
  return WorkFolder.use(workFolder, identity, (work) => foldIn(work, quantization, options), how);
}

async function foldIn(
  work: WorkFolder,
  quantization: Quantization,
  options: FoldOptions,
): Promise<FoldResult> {
  const { checkpoint, store, name, signal, aware } = options;
  const resumedSteps = work.resumedSteps;
  const steps = await makeStudent({ ...options, work });
  const { student } = steps.at(-1)!;
  const { floats, stored } = measuredStages(steps, quantization.precision);
  const { onProgress } = options;
  const how = {
    ...quantization,
    checkpoint,
    work,
    ...(onProgress && { onProgress }),
    ...(signal && { signal }),
  };
  const form = await quantizedForm({ ...how, student });
  const fitted = await makeQuantizer({ ...how, student: form });
  const { precision } = quantization;
  const candidates = [
    await storedForm({ ...options, stage: stored, student: form, quantizer: fitted, work, precision }),
  ];
  if (aware) {
    const codes = await writtenCodes(work, blocksOf(form));
    const folder = await WorkFolder.open(work.path, awareStage);
    const where = { folder: folder.path, ...(signal && { signal }) };
    const trained = await trainAware(checkpoint, form, codes, aware, where);
    const quantizer = new AwareQuantizer(trained, codes);
    candidates.push(
      await storedForm({
        ...options,
        stage: awareStage,
        student: trained,
        quantizer,
        work: folder,
        precision,
      }),
    );
  }
  const quality: StageQuality[] = [];
  for (const { name: stage, student } of options.quality ? floats : []) {
    quality.push(await measured(stage, options, (text, how) => evaluateStudent(student, text, how)));
    checkFinite(quality.at(-1)!);
  }
  const known = [];
  for (const candidate of candidates)
    known.push({ ...candidate, quality: await storedQuality(candidate, options) });
  const { manifest, files, quality: found } = bestOf(known);
  if (found) checkFinite(found);
  const others = known.filter((other) => other.manifest !== manifest).flatMap(({ quality }) => quality ?? []);
  quality.push(...others.filter(({ perplexity }) => Number.isFinite(perplexity)), ...(found ? [found] : []));
  if (options.quality) {
    const { description } = options.quality;
    manifest.quality = quality.map(({ stage, tokens, perplexity }) => ({
      stage,
      text: description,
      tokens,
      perplexity,
    }));
  }
  const total = bytesOf(manifest);
  let published = 0;
  const version = await publish(store, name, manifest, files, {
    onProgress: (bytes) => {
      published += bytes;
      options.onProgress?.(publishingStep, published, total);
    },
    ...(signal && { signal }),
  });
  await work.remove();
  return { manifest, version, quality, resumedSteps };
}

type StageQuality = FoldResult['quality'][number];

interface StoredFormOptions extends FoldOptions {
  stage: string;
  student: Student;
  quantizer: BlockQuantizer;
  work: WorkFolder;
  precision: Quantization['precision'];
}

/** A model that could be published: what is measured of it is called by its stage. */
type Candidate = ExportedModel & { stage: string };

/** A student in codes, written into the work folder. */
async function storedForm(options: StoredFormOptions): Promise<Candidate> {
  const { stage, student, quantizer, work, checkpoint, plan, name, precision, onProgress, signal } = options;
  const exported = await withResource(quantizer, (quantizer) =>
    exportModel({
      checkpoint,
      student,
      plan,
      precision,
      name,
      work,
      quantizer,
      ...(options.cacheText && { cacheText: options.cacheText }),
      promptWeights: options.promptWeights === 'int8',
      folding: {
        method: plan.method,
        version: options.version,
        checkpoint: checkpoint.name,
        createdAt: new Date().toISOString(),
        options: options.options,
      },
      ...(onProgress && { onProgress: (done, total) => onProgress('Folding', done, total) }),
      ...(signal && { signal }),
    }),
  );
  return { ...exported, stage };
}

/** What a model's stored form costs; undefined where nothing is measured. */
async function storedQuality(
  { stage, manifest, files }: Candidate,
  options: FoldOptions,
): Promise<StageQuality | undefined> {
  if (!options.quality) return undefined;
  const graph = files.get(manifest.graph.sha256)!;
  return measured(stage, options, (text, how) =>
    evaluateFolded(graph, withPromptWeights(manifest, 'same'), text, how),
  );
}

async function measured(
  stage: string,
  { quality, onProgress, signal }: FoldOptions,
  evaluate: (text: TextWindows, how: EvaluateOptions) => Promise<Quality>,
): Promise<StageQuality> {
  const found = await evaluate(quality!.text, {
    ...(onProgress && { onProgress: (done, total) => onProgress(`Measuring: ${stage}`, done, total) }),
    ...(signal && { signal }),
  });
  return { stage, ...found };
}

/** The one that is published: of those measured the best, else the last. */
function bestOf<T extends { quality: StageQuality | undefined }>(candidates: T[]): T {
  const costs = candidates.map(({ quality }) => quality?.perplexity ?? 0);
  const finite = costs.map((cost) => (Number.isFinite(cost) ? cost : Number.MAX_VALUE));
  return candidates[finite.lastIndexOf(Math.min(...finite))]!;
}

/**
 * A model that computes no numbers would fail later, where nobody could tell why.
 * @throws InvalidDataError where the step ruined the model
 */
function checkFinite({ stage, perplexity }: Quality & { stage: string }): void {
  if (Number.isFinite(perplexity)) return;
  const hint =
    stage === 'checkpoint'
      ? 'The checkpoint itself is broken, or too large in its numbers for float32: fetch it again.'
      : 'This step ruins the model: fold with less --remove or --share, or more bits in --quantize.';
  throw new InvalidDataError(
    `Measured after the step "${stage}", the perplexity is ${perplexity}, not a number one can use. ${hint}`,
  );
}

/** The steps whose cost is measured apart in float32, and the name of what the stored model shows. */
function measuredStages(
  steps: Stage[],
  precision: Record<MatrixKind, Precision>,
): { floats: Stage[]; stored: string } {
  if (Object.values(precision).some(({ bits }) => bits !== 32)) return { floats: steps, stored: 'quantized' };
  const last = steps.at(-1)!.name;
  // Stored in float32, the model is its last step: to measure both would say the same twice.
  if (last === 'checkpoint' || last === 'layers removed') return { floats: steps, stored: 'exported' };
  return { floats: steps.slice(0, -1), stored: last };
}
