import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { UsageError } from '../../artifact/errors.ts';
import { adaptStudent } from '../adapter/adapt-student.ts';
import { adaptedLayers } from '../adapter/adapted-layers.ts';
import type { Checkpoint } from '../checkpoint/checkpoint.ts';
import type { TextWindows } from '../evaluate/windows.ts';
import { keepFittedLayers } from '../export/keep-fitted-layers.ts';
import { keepNarrowed } from '../export/keep-narrowed.ts';
import { keepPatches } from '../export/keep-patches.ts';
import type { WorkFolder } from '../export/work-folder.ts';
import { narrowStudent } from '../narrow/narrow-student.ts';
import { fitsText, fittedLayers, patchedLayers } from '../patch/cuts.ts';
import { fitLayers, withFittedLayers } from '../patch/fitted-student.ts';
import { fitPatches, withPatches } from '../patch/patch-student.ts';
import type { FoldPlan } from '../plan/plan.ts';
import { cure } from '../train/cure.ts';
import { type CureOptions, decisive } from '../train/cure-options.ts';
import { plannedStudent, unfolded } from './planned-student.ts';
import { blocksOf, type Student } from './student.ts';

export interface MakeStudentOptions {
  checkpoint: Checkpoint;
  plan: FoldPlan;
  /** What patches and the layers that stand in for others are fitted on, where the plan has any. */
  fit?: TextWindows;
  /** Distillation of the result. @default none */
  cure?: Omit<CureOptions, 'folder' | 'signal' | 'identity' | 'codes'>;
  /** Where patches, fitted layers and the cure keep what they need to go on after an interruption. */
  work: WorkFolder;
  onProgress?: (step: string, done: number, total: number) => void;
  onNotice?: (message: string) => void;
  signal?: AbortSignal;
}

/** The model after one step of the fold. */
export interface Stage {
  name:
    | 'checkpoint'
    | 'layers removed'
    | 'blocks shared'
    | 'adapted'
    | 'patched'
    | 'narrowed'
    | 'layers replaced'
    | 'cured';
  student: Student;
}

/** Carries out a plan in float32, step by step. The last stage is the result. */
export async function makeStudent(options: MakeStudentOptions): Promise<[Stage, ...Stage[]]> {
  const { checkpoint, plan } = options;
  const stages: [Stage, ...Stage[]] = [{ name: 'checkpoint', student: unfolded(checkpoint) }];
  const kept = plan.layers.filter(({ refill }) => !refill);
  if (kept.length < checkpoint.architecture.layers.length || kept.some(({ half }) => half)) {
    const layers = kept.map((layer, block) => ({ ...layer, block }));
    stages.push({ name: 'layers removed', student: plannedStudent(checkpoint, { ...plan, layers }) });
  }
  if (blocksOf(plan) < kept.length)
    stages.push({ name: 'blocks shared', student: plannedStudent(checkpoint, { ...plan, layers: kept }) });
  let student = plannedStudent(checkpoint, plan);
  if (adaptedLayers(plan).length > 0) {
    const { onProgress, signal } = options;
    student = await adaptStudent(checkpoint, student, plan, {
      onProgress: (done, total) => onProgress?.('Fitting adapters', done, total),
      ...(signal && { signal }),
    });
    stages.push({ name: 'adapted', student });
  }
  if (patchedLayers(plan, plan.checkpointLayers).length > 0) {
    student = await patched(student, options);
    stages.push({ name: 'patched', student });
  }
  if (plan.widths) {
    // Behind patches: what flows behind a cut without one is not what these MLPs will meet.
    student = await narrowed(student, plan.widths, options);
    stages.push({ name: 'narrowed', student });
  }
  if (fittedLayers(plan).length > 0) {
    student = await layersReplaced(student, options);
    stages.push({ name: 'layers replaced', student });
  }
  if (options.cure) {
    const { work, signal } = options;
    const folder = join(work.path, cureFolder);
    const how = { ...options.cure, folder, ...(signal && { signal }) };
    stages.push({ name: 'cured', student: (await cure(checkpoint, student, how)).student });
  }
  return stages;
}

/** In the work folder. */
const cureFolder = 'cure';

/** What the result depends on besides the checkpoint and the plan's layers. */
export async function studentIdentity({
  plan,
  fit,
  cure,
}: Pick<MakeStudentOptions, 'plan' | 'fit' | 'cure'>): Promise<unknown> {
  const hash = createHash('sha256');
  if (fitsText(plan)) {
    hash.update(plan.patch ?? 'none');
    for (const window of fit?.windows ?? []) hash.update(window);
  }
  if (!cure) return hash.digest('hex');
  for (const path of cure.data) hash.update(await readFile(path));
  const { data: _, ...settings } = decisive(cure);
  return { text: hash.digest('hex'), settings };
}

/** Fewer tokens than this for each number an output depends on, and the fit is to the text. */
const tokensPerInput = 8;

async function narrowed(
  student: Student,
  widths: readonly number[],
  { checkpoint, fit, work, signal, onNotice, onProgress }: MakeStudentOptions,
): Promise<Student> {
  const { windows } = textToFit('Narrower MLPs', fit, checkpoint, onNotice);
  return narrowStudent(student, widths, windows, keepNarrowed(work), {
    onProgress: (done, total) => onProgress?.('Narrowing MLPs', done, total),
    ...(signal && { signal }),
  });
}

async function patched(
  student: Student,
  { checkpoint, fit, work, signal, onNotice, onProgress }: MakeStudentOptions,
): Promise<Student> {
  const { windows } = textToFit('The patches', fit, checkpoint, onNotice);
  const patches = await keepPatches(work, () =>
    fitPatches(checkpoint, student, windows, {
      onProgress: (done, total) => onProgress?.('Fitting patches', done, total),
      ...(signal && { signal }),
    }),
  );
  return withPatches(student, patches);
}

async function layersReplaced(
  student: Student,
  { checkpoint, fit, work, signal, onNotice, onProgress }: MakeStudentOptions,
): Promise<Student> {
  const { windows } = textToFit('The layers that stand in for others', fit, checkpoint, onNotice);
  const fitted = await keepFittedLayers(work, () =>
    fitLayers(checkpoint, student, windows, {
      onFitted(index, last, { before, after }) {
        const { source } = student.layers[index]!;
        onNotice?.(
          `Layer ${source} was trained to do what layers ${source} to ${last} did: its outputs differ from theirs by ` +
            `${percent(after)} of their mean square, before by ${percent(before)}.`,
        );
      },
      ...(onProgress && { onProgress }),
      ...(signal && { signal }),
    }),
  );
  return withFittedLayers(student, fitted);
}

/** Says so where there is too little. */
function textToFit(
  what: string,
  fit: TextWindows | undefined,
  { architecture }: Checkpoint,
  onNotice: MakeStudentOptions['onNotice'],
): TextWindows {
  if (!fit) throw new UsageError(`${what} are fitted on a text: give one.`);
  const wanted = tokensPerInput * architecture.width;
  if (fit.tokens < wanted) {
    onNotice?.(
      `${what} are fitted on ${fit.tokens} tokens only, and will know that text better than others. ` +
        `Give --calibration a text of ${wanted} tokens or more.`,
    );
  }
  return fit;
}

function percent(share: number): string {
  return `${(100 * share).toFixed(1)}%`;
}
