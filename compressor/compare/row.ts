import type { TaskScore } from '../evaluate/score-task.ts';
import type { FoldPlan } from '../plan/plan.ts';
import type { ServingCost } from './serving.ts';

/** What stands beside the methods: not folded, not cured; trained on the same tokens; at fewer bits. */
export const original = 'original';
export const control = 'control';
export const quantize = 'quantize';

/** One model, measured. */
export interface CompareRow {
  /** A fold method, `original`, `control` or `quantize`. */
  method: string;
  /** Share of the distinct block parameters that was to be saved; null for `original` and `control`. */
  budget: number | null;
  /** What whole layers made of it, patches counted as stored parameters. */
  saved: number;
  layers: number;
  /** Every distinct block counted once. */
  parameters: number;
  /** Weights of distinct blocks, and the patches in the place of others. */
  distinctBlockParameters: number;
  /** On a disk, graph and tokenizer included. */
  bytes: number;
  /** As for `--quantize`. */
  quantization: string;
  /** On the held-out part of the data. */
  perplexity: {
    /** In float32, before the cure. */
    before: number;
    /** In float32, after it; null where there was none. */
    cured: number | null;
    /** Of the stored model, by its own kernels. */
    stored: number;
  };
  /** Of the stored model, by the task file's name. */
  tasks: Record<string, TaskScore>;
  /** Measured once all models are there; speeds are against the original's. */
  serving?: ServingCost;
  /** Ranking, folding, curing and measuring, interruptions left out. */
  seconds: number;
  /** URL of the folded model. */
  model: string;
  /** What a reader should know: that nothing was small enough, say. */
  note?: string;
}

/** A point of a cure's loss: of a step's training tokens, or on held-out text. */
export interface CurePoint {
  tokens: number;
  /** Of training steps, nats a token. */
  loss?: number;
  /** Of measurements on held-out text. */
  perplexity?: number;
}

/** A row and what the report shows of how it came about. */
export interface CompareResult {
  row: CompareRow;
  plan: Pick<FoldPlan, 'layers' | 'widths' | 'patch' | 'scores' | 'halfScores' | 'method' | 'gates'>;
  /** Distinct ones. */
  blocks: number;
  cure: CurePoint[];
  /** What it writes, for each prompt of the comparison. */
  samples: string[];
}

/** What `compare.json` holds: enough for a report. */
export interface Comparison {
  version: 1;
  checkpoint: string;
  checkpointLayers: number;
  /** Names of the data's files. */
  data: string[];
  /** Measured on, of the held-out part. */
  heldOutTokens: number;
  cureTokens: number;
  seed: number;
  quantize: string;
  tasks: string[];
  prompts: string[];
  createdAt: string;
  /** Mean cosine of hidden states, before the first layer and after each: [layers + 1][layers + 1]. */
  similarity: number[][];
  results: CompareResult[];
}
