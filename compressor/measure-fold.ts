import type { Checkpoint } from './checkpoint/checkpoint.ts';
import { fingerprint } from './checkpoint/fingerprint.ts';
import { stepTime } from './evaluate/step-time.ts';
import { evaluateStudent } from './evaluate/student.ts';
import type { TextWindows } from './evaluate/windows.ts';
import { exportModel } from './export/export.ts';
import { WorkFolder } from './export/work-folder.ts';
import type { FoldPlan } from './plan/plan.ts';
import { parsePrecision, resolvePrecision } from './quantize/precision.ts';
import { makeStudent, studentIdentity } from './student/make-student.ts';

/** What a fold does, untrained. */
export interface MeasuredFold {
  /** In float32. */
  perplexity: number;
  /** Milliseconds that the stored form takes to decode a token. */
  time: number;
}

export interface MeasureOptions {
  checkpoint: Checkpoint;
  plan: FoldPlan;
  /** What perplexity is measured on. */
  text: TextWindows;
  /** What stands in for removed layers is fitted on, where the plan has any such. */
  fit?: TextWindows;
  /** Folder for work in progress; nothing stays in it. */
  workFolder: string;
  onProgress?: (step: string, done: number, total: number) => void;
  /** Something worth a line: a text too short to fit on. */
  onNotice?: (message: string) => void;
  signal?: AbortSignal;
}

/**
 * Carries out a plan as far as its cure, measures it and throws it away. Codes are rounded to nearest, and `auto` stands
 * for int4: values change no time, and perplexity is that of float32, so that depth and sharing are seen apart
 * from rounding.
 */
export async function measureFold(options: MeasureOptions): Promise<MeasuredFold> {
  const { checkpoint, plan, text, workFolder, signal, onProgress } = options;
  const report = (step: string) => ({
    onProgress: (done: number, total: number) => onProgress?.(step, done, total),
    ...(signal && { signal }),
  });
  const identity = ['measure', await fingerprint(checkpoint), plan, await studentIdentity(options)];
  const measure = async (work: WorkFolder) => {
    try {
      const { student } = (await makeStudent({ ...options, work })).at(-1)!;
      const { perplexity } = await evaluateStudent(student, text, report('perplexity'));
      const { manifest, files } = await exportModel({
        ...{ checkpoint, student, plan, work, name: checkpoint.name },
        precision: resolvePrecision(checkpoint, plan, parsePrecision(plan.quantize)),
        folding: {
          method: plan.method,
          version: '',
          checkpoint: checkpoint.name,
          createdAt: '',
          options: {},
        },
        ...report('writing'),
      });
      const graph = files.get(manifest.graph.sha256)!;
      return { perplexity, time: await stepTime(graph, manifest, text.windows[0]!, signal) };
    } finally {
      await work.remove();
    }
  };
  return WorkFolder.use(workFolder, identity, measure, signal ? { signal } : {});
}
