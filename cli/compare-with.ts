import { basename, extname, join, resolve } from 'node:path';
import { UsageError } from '../artifact/errors.ts';
import type { CompareOptions, CompareStep } from '../compressor/compare/options.ts';
import type { CalibrationMethod } from '../compressor/quantize/calibration.ts';
import packageJson from '../package.json' with { type: 'json' };
import { lossWeights } from './cure-options.ts';
import { progress } from './progress.ts';
import { writeReport } from './write-report.ts';

export interface CompareFlags {
  methods: string[];
  budget: number[];
  data: string[];
  cureTokens: number;
  crossEntropy: number;
  learningRate?: number;
  seed: number;
  task: string[];
  limit?: number;
  quantize: string;
  calibrate: CalibrationMethod | 'none';
  rankTokens: number;
  heldOutTokens: number;
  out?: string;
  report?: string;
  json?: boolean;
}

/** Compares as the flags say, showing the progress on stderr. @returns what is to be printed */
export async function compareWith(path: string, flags: CompareFlags, signal: AbortSignal): Promise<string> {
  const { defaultCacheFolder } = await import('../artifact/cache.ts');
  const { compare } = await import('../compressor/compare/compare.ts');
  const { markdownTable } = await import('../compressor/compare/table.ts');
  const { openCheckpoint } = await import('../compressor/checkpoint/open.ts');
  const { parsePrecision } = await import('../compressor/quantize/precision.ts');
  if (flags.cureTokens < 0) throw new UsageError(`--cure-tokens takes 0 or more, not ${flags.cureTokens}.`);
  parsePrecision(flags.quantize); // a wrong one is told before anything runs
  const {
    methods,
    budget: budgets,
    cureTokens: tokens,
    crossEntropy,
    seed,
    learningRate,
    out,
    ...rest
  } = flags;
  const tasks = await readTasks(flags);
  const checkpoint = await openCheckpoint(path);
  const show = progress();
  try {
    const { comparison, folder } = await compare({
      checkpoint,
      methods,
      budgets,
      tasks,
      ...rest,
      cure: {
        tokens,
        seed,
        ...lossWeights(crossEntropy),
        ...(learningRate !== undefined && { learningRate }),
      },
      folder: (digest) => resolve(out ?? join(defaultCacheFolder(), 'compares', digest)),
      version: packageJson.version,
      detokenizer: await detokenizer(),
      onProgress: (step, done, total, detail) => show.update(step, done, total, detail),
      onStep(step) {
        show.finish();
        process.stderr.write(`${inWords(step)}\n`);
      },
      onNotice: (message) => process.stderr.write(`${message}\n`),
      signal,
    });
    process.stderr.write(`Results and models are in ${folder}\n`);
    if (flags.report !== undefined) {
      await writeReport(comparison, flags.report);
      process.stderr.write(`The report is in ${flags.report}\n`);
    }
    if (!flags.json) return `${markdownTable(comparison)}\n`;
    const { results, similarity, version, prompts, ...about } = comparison;
    const rows = results.map(({ row }) => row);
    return `${JSON.stringify({ ...about, rows, folder }, undefined, 2)}\n`;
  } finally {
    show.finish();
    await checkpoint.close();
  }
}

async function readTasks({ task, limit }: CompareFlags): Promise<CompareOptions['tasks']> {
  const { readTask } = await import('../compressor/evaluate/task-file.ts');
  const names = task.map((path) => basename(path, extname(path)));
  const twice = names.find((name, i) => names.indexOf(name) < i);
  if (twice !== undefined) throw new UsageError(`Two tasks are called ${twice}: rename one of the files.`);
  return Promise.all(names.map(async (name, i) => ({ name, task: await readTask(task[i]!, limit) })));
}

async function detokenizer(): Promise<CompareOptions['detokenizer']> {
  const { detokenize } = await import('../functions/text/detokenizer.ts');
  const { tokenPieces } = await import('../functions/text/pieces.ts');
  return (tokenizer) => {
    const pieces = tokenPieces(tokenizer);
    return (tokens) => detokenize(pieces, [...tokens]);
  };
}

function inWords({ name, done, total, seconds, isNew, secondsLeft, result }: CompareStep): string {
  const { before, cured, stored } = result?.row.perplexity ?? {};
  const perplexities = [before, cured, stored].flatMap((value) => (value == null ? [] : [value.toFixed(2)]));
  const found = perplexities.length > 0 ? `: perplexity ${perplexities.join(' -> ')}` : '';
  const took = isNew ? `${seconds.toFixed(0)} s` : 'done before';
  const left = done < total && done > 1 ? `, about ${Math.ceil(secondsLeft / 60)} min left` : '';
  return `[${done}/${total}] ${name}${found} (${took}${left})`;
}
