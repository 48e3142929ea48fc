import type { Tokenizer } from '../../artifact/tokenizer.ts';
import type { Checkpoint } from '../checkpoint/checkpoint.ts';
import type { Task } from '../evaluate/task-file.ts';
import type { CalibrationMethod } from '../quantize/calibration.ts';
import type { CureRequest } from './measure.ts';
import type { CompareResult } from './row.ts';

export interface CompareOptions {
  checkpoint: Checkpoint;
  /** Names of fold methods, and `quantize`. */
  methods: readonly string[];
  /** Shares of the distinct block parameters to save. */
  budgets: readonly number[];
  /** Files of training data: see `readDocuments`. */
  data: readonly string[];
  tasks: { name: string; task: Task }[];
  /** How the folded models, the original and the control are stored. */
  quantize: string;
  calibrate: CalibrationMethod | 'none';
  /** Tokens that layers are ranked on, where the method names no number. */
  rankTokens: number;
  /** Tokens of the held-out part to measure on, at most. */
  heldOutTokens: number;
  /** Settings of every cure; 0 tokens for none. */
  cure: Omit<CureRequest, 'data' | 'heldOutShare'>;
  /**
   * Where steps, models and the result are kept.
   * @param digest of everything they depend on but the methods and budgets, which add to each other
   */
  folder: (digest: string) => string;
  version: string;
  /** Tokens to text. */
  detokenizer: (tokenizer: Tokenizer) => (tokens: Int32Array) => string;
  onProgress?: (step: string, done: number, total: number, detail?: string) => void;
  onStep?: (report: CompareStep) => void;
  onNotice?: (message: string) => void;
  signal?: AbortSignal;
}

/** A step of the comparison that is done. */
export interface CompareStep {
  name: string;
  done: number;
  total: number;
  /** What it took; of an earlier run where it is not new. */
  seconds: number;
  isNew: boolean;
  /** Until the whole comparison is done, from what steps took so far. */
  secondsLeft: number;
  result?: CompareResult;
}
