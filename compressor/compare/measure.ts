import { join } from 'node:path';
import { bytesOf, distinctBlocks } from '../../artifact/manifest.ts';
import { openLocalModel } from '../../artifact/models/open-local.ts';
import { openStore } from '../../artifact/store/open.ts';
import { int4Tokens, tokensToFit } from '../calibration/amounts.ts';
import type { Checkpoint } from '../checkpoint/checkpoint.ts';
import { foldedModel } from '../evaluate/folded-model.ts';
import { scoreTask, type TaskScore } from '../evaluate/score-task.ts';
import type { Task } from '../evaluate/task-file.ts';
import { type FoldResult, fold } from '../fold.ts';
import type { FoldPlan } from '../plan/plan.ts';
import type { CalibrationMethod } from '../quantize/calibration.ts';
import type { MakeStudentOptions } from '../student/make-student.ts';
import { distinctBlockParameters, savedShare } from './budget.ts';
import { CureLog } from './cure-log.ts';
import type { CompareResult, CompareRow } from './row.ts';
import type { CompareTexts } from './texts.ts';

/** Tokens a model writes for each prompt. */
const sampleTokens = 48;

export type CureRequest = NonNullable<MakeStudentOptions['cure']>;

export interface MeasureSetting {
  checkpoint: Checkpoint;
  texts: CompareTexts;
  tasks: { name: string; task: Task }[];
  /** Whether int4 is fitted to what flows through it, or rounded to nearest. */
  calibrate: CalibrationMethod | 'none';
  /** The program's version. */
  version: string;
  /** Holds the folded models and work in progress. */
  folder: string;
  textOf: (tokens: Int32Array) => string;
  onProgress?: (step: string, done: number, total: number, detail?: string) => void;
  signal?: AbortSignal;
}

/** What a fold gives: a row but for what the comparison, and the stored model, tell. */
export type Folded = Pick<CompareResult, 'plan' | 'blocks' | 'cure'> & {
  row: Omit<CompareRow, 'method' | 'budget' | 'tasks' | 'seconds' | 'note'>;
};

/**
 * Folds by a plan, cures, stores, and measures what each step costs. What was interrupted goes on where it
 * was: the fold keeps its work in a folder, the cure its state.
 * @param log where the cure's losses are kept
 */
export async function foldFor(
  name: string,
  plan: FoldPlan,
  cure: CureRequest | undefined,
  log: string,
  setting: MeasureSetting,
): Promise<Folded> {
  const { checkpoint, texts, folder, signal, version } = setting;
  const cureLog = new CureLog(log);
  const result = await fold({
    checkpoint,
    plan,
    store: await openStore(storeUrl(folder)),
    name,
    workFolder: join(folder, 'work'),
    version,
    options: { plan },
    fit: texts.training(tokensToFit(plan)),
    ...(setting.calibrate !== 'none' && {
      calibrate: { method: setting.calibrate, windows: texts.training(int4Tokens).windows },
    }),
    ...(cure && {
      cure: {
        ...cure,
        onStep(step) {
          cureLog.step(step);
          const detail = `loss ${step.loss.toFixed(3)}, ${step.tokensPerSecond.toFixed(0)} tokens/s`;
          setting.onProgress?.('curing', step.step, step.steps, detail);
        },
        onHeldOut: (measured) => cureLog.heldOut(measured),
      },
    }),
    quality: { text: texts.heldOut, description: 'held-out part of the data' },
    onProgress: (step, done, total) => setting.onProgress?.(step.toLowerCase(), done, total),
    ...(signal && { signal }),
  });
  const { manifest } = result;
  return {
    row: {
      saved: savedShare(checkpoint.architecture, plan),
      layers: plan.layers.length,
      parameters: manifest.parameters.folded,
      distinctBlockParameters: distinctBlockParameters(checkpoint.architecture, plan),
      bytes: bytesOf(manifest),
      quantization: plan.quantize,
      perplexity: perplexities(result.quality, cure !== undefined),
      model: `${storeUrl(folder)}/${name}`,
    },
    plan,
    blocks: distinctBlocks(manifest),
    cure: cure ? await cureLog.points() : [],
  };
}

/** What a stored model knows and writes. */
export async function examine(
  model: string,
  { texts, tasks, textOf, onProgress, signal }: MeasureSetting,
): Promise<{ tasks: CompareRow['tasks']; samples: string[] }> {
  const how = (step: string) => ({
    onProgress: (done: number, total: number) => onProgress?.(step, done, total),
    ...(signal && { signal }),
  });
  const stored = foldedModel(await openLocalModel(model, signal ? { signal } : {}));
  const scores: Record<string, TaskScore> = {};
  for (const { name, task } of tasks) scores[name] = await scoreTask(stored, task, how(`scoring ${name}`));
  const prompts = texts.prompts.map(({ tokens }) => tokens);
  const samples = await stored.continueGreedily(prompts, sampleTokens, how('writing'));
  return { tasks: scores, samples: samples.map((sample) => textOf(sample)) };
}

function storeUrl(folder: string): string {
  return `file:${join(folder, 'models')}`;
}

/** What `fold` measured after each step, sorted into before and after. */
function perplexities(quality: FoldResult['quality'], isCured: boolean): CompareRow['perplexity'] {
  const stored = quality.at(-1)!;
  const floats = ['quantized', 'exported'].includes(stored.stage) ? quality.slice(0, -1) : quality;
  return {
    before: floats.at(isCured ? -2 : -1)!.perplexity,
    cured: isCured ? floats.at(-1)!.perplexity : null,
    stored: stored.perplexity,
  };
}
