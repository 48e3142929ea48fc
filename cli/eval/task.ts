import { basename } from 'node:path';
import type { TaskScore } from '../../compressor/evaluate/score-task.ts';
import type { Measurement } from './measurement.ts';

export interface TaskFlags {
  task: string;
  limit?: number;
  delimiter?: string;
  json?: boolean;
}

export async function task({ task: path, limit, delimiter, json }: TaskFlags): Promise<Measurement> {
  const { readTask } = await import('../../compressor/evaluate/task-file.ts');
  const items = await readTask(path, limit);
  return async (model, show, signal) => {
    const { scoreTask } = await import('../../compressor/evaluate/score-task.ts');
    const score = await scoreTask(model, items, {
      delimiter,
      onProgress: (done, total) => show.update(`Scoring ${basename(path)}`, done, total),
      signal,
    });
    return json ? `${JSON.stringify(score)}\n` : inWords(score);
  };
}

function inWords(score: TaskScore): string {
  const percent = (share: number) => `${(100 * share).toFixed(1)}%`;
  const error = score.stderr === null ? '' : ` +- ${(100 * score.stderr).toFixed(1)}`;
  const lines = [`accuracy ${percent(score.accuracy)}${error} over ${score.items} items`];
  if (score.accuracyNorm !== null) {
    lines.push(
      `accuracy by log-likelihood a character ${percent(score.accuracyNorm)}, a byte ${percent(score.accuracyBytes!)}`,
    );
  }
  if (score.perplexity !== undefined)
    lines.push(`perplexity ${score.perplexity.toFixed(3)} of a continuation`);
  if (score.truncated > 0)
    lines.push(`${score.truncated} items were longer than the model's context and lost their beginning`);
  return `${lines.join('\n')}\n`;
}
