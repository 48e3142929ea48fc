import { UsageError } from '../../artifact/errors.ts';
import type { SessionOptions } from '../../artifact/onnxruntime/session.ts';
import type { Coding } from '../coding/coder.ts';
import type { BlockCodes } from '../quantize/block-quantizer.ts';
import type { HeldOut, StepReport } from './cure-report.ts';
import type { MemoryPlan } from './memory.ts';

/** Share of the documents that is never trained on, where nothing says otherwise. */
export const heldOutShare = 0.01;

/**
 * `model`: everything; `all`: everything but embedding and head; `adapters`: norms, the final one too, and what
 * layers with another's block have of their own; `norms`: these alone.
 */
export const curedParts = ['model', 'all', 'adapters', 'norms'] as const;
export type CuredPart = (typeof curedParts)[number];

/** How a student is trained. Everything here decides the result, bit for bit. */
export interface CureSettings {
  /** Tokens to train on; the last step may go a little beyond. */
  tokens: number;
  /** @default 'all' */
  part: CuredPart;
  /** Learning rate at its highest. @default 3e-4, for norms and adapters alone 1e-3 */
  learningRate: number;
  /** Weight of the cross-entropy with the data's own tokens. @default 0 */
  crossEntropy: number;
  /** Weight of the KL divergence from the teacher. @default 1 */
  divergence: number;
  /** How many of the last layers are drawn to the teacher's outputs at their sources. @default 0 */
  tailLayers: number;
  /** Weight of that, the mean over those layers. @default 1 */
  tailWeight: number;
  /**
   * Multiplies that weight, batch by batch, by what makes it count as much as the loss of the output at a weight of 1: a
   * dynamic joint loss, as in DiffNAS (arXiv 2311.04950). @default the weight stays
   */
  balanceTail?: true;
  /** Tokens of a sequence. @default 256, or the model's context where that is shorter */
  length: number;
  /** @default 1024, or the multiple of the length next to it */
  tokensPerStep: number;
  /** Sequences that go through the model together; a step's others follow. @default 4, or a step's where those are fewer */
  batch: number;
  /** @default a twentieth of all steps, 100 at most */
  warmupSteps: number;
  /** Share of the learning rate that is left at the end. @default 0.1 */
  floor: number;
  /** Decay of matrices. @default 0.01 */
  weightDecay: number;
  /** Factor on the learning rate of norms and biases, where matrices are trained too. @default 1 */
  vectorRate: number;
  /** Factor on the learning rate of gains, which have a long way to go. @default 10 */
  gainRate: number;
  /**
   * Trains of the MLP matrices this share of their coordinates in a basis of the gradients (`SparseGrad`), above 0 to 1.
   * @default AdamW for everything
   */
  sparseGradients?: number;
  /** Longest gradient. @default 1 */
  clipNorm: number;
  /** Order of the data. @default 1 */
  seed: number;
  /** Share of the documents that is never trained on. @default 0.01 */
  heldOutShare: number;
  /** Of those, how many tokens are measured on. @default 8192 */
  heldOutTokens: number;
  /** Tokens between two measurements; there is one before the first step and one after the last. @default a fifth of all */
  evaluateEvery: number;
}

export interface CureOptions extends Partial<CureSettings> {
  tokens: number;
  /**
   * By block: codes that the blocks are rounded to while they are trained, in their form and with their scales. `identity`
   * has to tell them from others. @default the blocks run as they are
   */
  codes?: readonly BlockCodes[];
  /** Training data: see `readDocuments`. */
  data: readonly string[];
  /**
   * Where `state.safetensors` and `metrics.jsonl` are kept. A cure that was interrupted goes on from there,
   * and ends as it would have without.
   */
  folder: string;
  /** What the state must agree with besides the settings and the data: the checkpoint's fingerprint, the plan. */
  identity?: unknown;
  /** @default 180 */
  saveEverySeconds?: number;
  /** How the state's numbers are coded, losslessly; one that was coded otherwise is read too. @default 'none' */
  coding?: Coding;
  session?: SessionOptions;
  signal?: AbortSignal;
  /** Called through the gradients that `sparseGradients` begins with. */
  onPrepare?: (done: number, total: number) => void;
  /** Called before anything large is read. */
  onMemory?: (plan: MemoryPlan) => void;
  onStep?: (report: StepReport) => void;
  onHeldOut?: (measured: HeldOut) => void;
}

/** The options that decide what a cure comes to: without how it runs, what it keeps and who is told. */
export function decisive<T extends Partial<CureOptions>>(options: T) {
  const { session, saveEverySeconds, coding, onMemory, onPrepare, onStep, onHeldOut, ...settings } = options;
  return settings;
}

/**
 * Fills in the defaults.
 * @param contextLength of the model
 * @throws UsageError where settings make no sense
 */
export function settle(options: CureOptions, contextLength: number): CureSettings {
  const { part = 'all', length = Math.min(256, contextLength), tokens } = options;
  const { tokensPerStep = length * Math.max(1, Math.round(1024 / length)) } = options;
  const sequences = tokensPerStep / length;
  const steps = Math.ceil(tokens / tokensPerStep);
  const settings: CureSettings = {
    tokens,
    part,
    learningRate: options.learningRate ?? (trainsBlocks(part) ? 3e-4 : 1e-3),
    crossEntropy: options.crossEntropy ?? 0,
    divergence: options.divergence ?? 1,
    tailLayers: options.tailLayers ?? 0,
    tailWeight: options.tailWeight ?? 1,
    ...(options.balanceTail && { balanceTail: options.balanceTail }),
    length,
    tokensPerStep,
    batch: options.batch ?? largestDivisor(sequences, 4),
    warmupSteps: options.warmupSteps ?? Math.min(Math.ceil(steps / 20), 100),
    floor: options.floor ?? 0.1,
    weightDecay: options.weightDecay ?? 0.01,
    vectorRate: options.vectorRate ?? 1,
    gainRate: options.gainRate ?? 10,
    ...(options.sparseGradients !== undefined && { sparseGradients: options.sparseGradients }),
    clipNorm: options.clipNorm ?? 1,
    seed: options.seed ?? 1,
    heldOutShare: options.heldOutShare ?? heldOutShare,
    heldOutTokens: options.heldOutTokens ?? 8192,
    evaluateEvery: options.evaluateEvery ?? Math.ceil(tokens / 5),
  };
  check(settings, contextLength);
  return settings;
}

/** Whether the blocks' own matrices are trained. */
export function trainsBlocks(part: CuredPart): boolean {
  return part === 'model' || part === 'all';
}

/** Whether the loss asks a teacher. */
export function asksTeacher({ divergence, tailLayers, tailWeight }: CureSettings): boolean {
  return divergence > 0 || tailLayers * tailWeight > 0;
}

/** Steps of the whole cure. */
export function stepsOf({ tokens, tokensPerStep }: CureSettings): number {
  return Math.ceil(tokens / tokensPerStep);
}

function check(s: CureSettings, contextLength: number): void {
  const positive = ['tokens', 'learningRate', 'clipNorm', 'heldOutTokens', 'evaluateEvery', 'batch'] as const;
  for (const name of positive) if (!(s[name] > 0)) throw wrong(name, 'more than 0', s[name]);
  const weights = [
    'crossEntropy',
    'divergence',
    'tailWeight',
    'weightDecay',
    'vectorRate',
    'gainRate',
    'floor',
  ] as const;
  for (const name of weights) if (!(s[name] >= 0)) throw wrong(name, '0 or more', s[name]);
  const { sparseGradients } = s;
  if (sparseGradients !== undefined && !(sparseGradients > 0 && sparseGradients <= 1))
    throw wrong('sparseGradients', 'above 0 to 1', sparseGradients);
  checkPart(s);
  if (!Number.isInteger(s.tailLayers) || s.tailLayers < 0)
    throw wrong('tailLayers', 'a whole number', s.tailLayers);
  if (!Number.isInteger(s.length) || s.length < 2 || s.length > contextLength)
    throw wrong('length', `from 2 to the model's context, ${contextLength}`, s.length);
  if (!(s.heldOutShare >= 0 && s.heldOutShare < 1))
    throw wrong('heldOutShare', 'from 0 to 1', s.heldOutShare);
  if (!Number.isInteger(s.tokensPerStep / s.length))
    throw wrong('tokensPerStep', `a multiple of the length, ${s.length}`, s.tokensPerStep);
  if (!Number.isInteger(s.tokensPerStep / s.length / s.batch))
    throw wrong('batch', `a divisor of a step's ${s.tokensPerStep / s.length} sequences`, s.batch);
  if (s.crossEntropy + s.divergence + s.tailLayers * s.tailWeight === 0)
    throw new UsageError('All weights of the loss are 0: there is nothing to train for.');
}

/** @throws UsageError where there is nothing for SparseGrad to train */
export function checkPart({ part, sparseGradients }: Pick<CureSettings, 'part' | 'sparseGradients'>): void {
  if (sparseGradients === undefined || trainsBlocks(part)) return;
  throw new UsageError(
    `SparseGrad trains the MLP matrices, which a cure of ${part} alone leaves as they are: leave out either.`,
  );
}

function wrong(name: string, expected: string, value: number): UsageError {
  return new UsageError(`${name} should be ${expected}, not ${value}.`);
}

function largestDivisor(n: number, most: number): number {
  for (let d = Math.min(n, most); d > 1; d--) if (n % d === 0) return d;
  return 1;
}
