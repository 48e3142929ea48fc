import type { MatrixKind, Precision } from '../../artifact/manifest.ts';
import type { Architecture } from '../checkpoint/architecture.ts';
import { storedPositions } from '../weights/rotary.ts';
import type { FoldPlan } from './plan.ts';
import { foldedSizes } from './sizes.ts';

/** Size of a model's tokenizer files. */
export type TokenizerBytes = number;

export interface SizedModel {
  architecture: Architecture;
  plan: Pick<FoldPlan, 'layers' | 'patch'>;
  precision: Record<MatrixKind, Precision>;
  /** As `bitsBudget` gives it. */
  budget: number | undefined;
  tokenizer: TokenizerBytes;
}

/** A graph's nodes and names, a layer: 2.3 kB at most as measured, and what surrounds the layers. */
const graphBytes = { layer: 2500, rest: 10_000 };

/** Everything a model takes in a store. */
export function storedBytes({ architecture: a, plan, precision, budget, tokenizer }: SizedModel): number {
  const positions = storedPositions(a.contextLength);
  const rotary = a.rotaries.length * 2 * positions * (a.headSize / 2) * 4;
  const graph = graphBytes.rest + plan.layers.length * graphBytes.layer;
  return foldedSizes(a, plan, precision, budget).bytes + rotary + graph + tokenizer;
}

/** Program text of Node and ONNX Runtime, V8's heaps and the runtime's own structures (docs/benchmarks.md). */
const fixedBytes = 130e6;

/** A piece of the vocabulary in the tokenizer's tables and in those that turn tokens into text. */
const bytesPerPiece = 300;

/** Tokens of context that are in use. */
const contextTokens = 2048;

/** Scratch of the widest layer for one chunk of a prompt, in numbers a token; the runtime keeps it. */
const chunkTokens = 128;

/** Resident memory of a process that serves the model, with 2,048 tokens of one sequence in its cache. */
export function servedBytes(sized: SizedModel): number {
  const { architecture: a, plan, precision, budget } = sized;
  const weights = foldedSizes(a, plan, precision, budget).bytes;
  const cache = plan.layers.length * 2 * a.kvHeads * a.headSize * 4 * contextTokens;
  const scratch = chunkTokens * 4 * (4 * a.intermediateSize + 6 * a.width + a.heads * contextTokens);
  return fixedBytes + a.vocabularySize * bytesPerPiece + weights + cache + scratch;
}
