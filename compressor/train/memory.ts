import { UsageError } from '../../artifact/errors.ts';
import { type Architecture, architectureOfBlock } from '../checkpoint/architecture.ts';
import { halfOfBlock } from '../graph/halves.ts';
import { matrixShape } from '../graph/layer.ts';
import { blocksInOrder, type Student } from '../student/student.ts';
import { blockParameters, normParameters } from '../weights/block.ts';
import { asksTeacher, type CureSettings, trainsBlocks } from './cure-options.ts';
import { activationLength } from './layer-gradient.ts';
import { tokensAtATime } from './logit-tiles.ts';
import { commonArchitecture, type SparseSize, sparseMatrices, sparseSize } from './sparse-grad.ts';

/** What a cure will hold in memory, computed before it reads anything large. */
export interface MemoryPlan {
  parts: { what: string; bytes: number }[];
  total: number;
  /** What the optimizer does without, against AdamW for everything. @default 0 */
  saved: number;
  /** What this process may still take. */
  available: number;
  /** Whether the teacher's weights fit in memory too; else they are read anew for every step. */
  keepTeacher: boolean;
  /** Whether what the layers compute on the way forward may stay for the way back: a fifth less work. */
  keepActivations: boolean;
}

/** Node, the runtime's code, the training data and its tokenizer. */
const fixedBytes = 200e6;

/** Of what is available: the rest is for what the estimate misses and for others on the machine. */
const usableShare = 0.9;

const float = 4;

/** What a student has besides blocks and norms. */
export interface AddedParts {
  /** Number of layers that a linear patch follows. */
  patches: number;
  /** Parameters of all adapters; those of pools, or of an orchestra, as they are trained. */
  adapters: number;
  /** Parameters of what those make for one layer at a time. @default 0 */
  pooled?: number;
  /** Whether the blocks run rounded, beside the weights behind them. @default false */
  rounded?: boolean;
}

export function planMemory(
  student: Pick<Student, 'architecture' | 'layers' | 'widths'>,
  { patches, adapters, pooled = 0, rounded = false }: AddedParts,
  settings: CureSettings,
  available = process.availableMemory(),
): MemoryPlan {
  const a = student.architecture;
  const { part, length, batch, tokensPerStep, tailLayers } = settings;
  const vectors = student.layers.reduce((sum, { half }) => sum + normParameters(a, half), a.width);
  const ofBlock = (block: number) => architectureOfBlock(a, student.widths, block);
  const inBlocks = blocksInOrder(student).reduce(
    (sum, block) => sum + blockParameters(ofBlock(block), halfOfBlock(student.layers, block)),
    0,
  );
  const matrices = inBlocks + patches * (a.width + 1) * a.width;
  const vocabulary = a.vocabularySize * a.width * (a.tiedHead ? 1 : 2);
  const trained =
    vectors +
    (part === 'norms' ? 0 : adapters) +
    (trainsBlocks(part) ? matrices : 0) +
    (part === 'model' ? vocabulary : 0);
  const optimizer = optimizerMemory(student, trained, settings);
  const teacherLayer = blockParameters(a) + normParameters(a);
  const tokens = batch * length;
  const parts = [
    { what: 'weights', bytes: (matrices + vectors + adapters) * float },
    ...(pooled > 0 ? [{ what: 'low-rank matrices of a layer', bytes: 2 * pooled * float }] : []),
    ...(rounded ? [{ what: 'rounded weights', bytes: inBlocks * float }] : []),
    { what: 'gradients', bytes: trained * float },
    ...optimizer.parts,
    { what: 'head', bytes: a.vocabularySize * a.width * float },
    ...(part === 'model' ? [{ what: 'embedding and head', bytes: vocabulary * float }] : []),
    { what: 'states of the layers', bytes: (student.layers.length + 2) * tokens * a.width * float },
    { what: 'states of the teacher', bytes: (2 + tailLayers) * tokensPerStep * a.width * float },
    { what: 'layers at work', bytes: workspace(a, batch, length) },
    { what: 'loss', bytes: lossBytes(a, tokens) },
    { what: 'everything else', bytes: fixedBytes },
  ];
  const sum = parts.reduce((total, { bytes }) => total + bytes, 0);
  const whole = a.layers.length * teacherLayer * float;
  const keepTeacher = sum + whole <= available * usableShare;
  if (asksTeacher(settings)) {
    parts.push({
      what: keepTeacher ? 'teacher' : 'one layer of the teacher',
      bytes: keepTeacher ? whole : teacherLayer * float,
    });
  }
  const total = () => parts.reduce((total, { bytes }) => total + bytes, 0);
  const shape = { batch, tokens: length };
  const activations =
    float *
    student.layers.reduce((sum, { half, block }) => sum + activationLength(ofBlock(block), shape, half), 0);
  const keepActivations = total() + activations <= available * usableShare;
  if (keepActivations) parts.push({ what: 'activations', bytes: activations });
  return { parts, total: total(), saved: optimizer.saved, available, keepTeacher, keepActivations };
}

/** @param trained parameters */
function optimizerMemory(
  student: Pick<Student, 'architecture' | 'layers' | 'widths'>,
  trained: number,
  { sparseGradients }: CureSettings,
): Pick<MemoryPlan, 'parts' | 'saved'> {
  const dense = { what: 'moments', bytes: 2 * trained * float };
  if (sparseGradients === undefined) return { parts: [dense], saved: 0 };
  const sizes = sparseMatrices.map((kind) => sparseSize(commonArchitecture(student), kind, sparseGradients));
  const sum = (count: (size: SparseSize) => number) => sizes.reduce((total, size) => total + count(size), 0);
  const blocks = blocksInOrder(student).filter(
    (block) => halfOfBlock(student.layers, block) !== 'attention',
  ).length;
  const without = blocks * sum(({ shape }) => shape[0] * shape[1]);
  const kept = blocks * sum(({ kept }) => kept);
  // Bases and, while they are looked for, what they are found from and what is chosen from.
  const bases = sum(({ shape, corner }) => corner[0] * shape[0] + corner[1] * shape[1]);
  const search = sum(({ shape, corner }) => shape[0] ** 2 + shape[1] ** 2 + blocks * corner[0] * corner[1]);
  const parts = [
    { what: 'moments', bytes: 2 * (trained - without + kept) * float },
    // Values, before and after a step, gradients and positions.
    { what: 'kept coordinates and their bases', bytes: (4 * kept + bases + search) * float },
  ];
  return { parts, saved: dense.bytes - parts.reduce((total, { bytes }) => total + bytes, 0) };
}

/** @throws UsageError with advice where it is more than there is */
export function checkMemory(
  { parts, total, available }: MemoryPlan,
  { part, batch, sparseGradients }: CureSettings,
): void {
  if (total <= available * usableShare) return;
  const list = parts.map(({ what, bytes }) => `${what} ${megabytes(bytes)}`).join(', ');
  const advice = [
    ...(trainsBlocks(part) && sparseGradients === undefined ? ['train the MLP matrices by SparseGrad'] : []),
    ...(trainsBlocks(part) ? ['train the norms alone'] : []),
    ...(batch > 1 ? ['take fewer sequences at a time'] : []),
    'shorten the sequences',
    'fold into fewer blocks',
  ];
  throw new UsageError(
    `The cure needs ${megabytes(total)} (${list}); this machine has ${megabytes(available)} free. ` +
      `To need less: ${advice.join(', ')}.`,
  );
}

/**
 * Between the operators of one layer, of which attention keeps its probabilities whole. The session that goes
 * back keeps this and a third for its next run, and each model's that goes forward nearly half (measured).
 */
function workspace(a: Architecture, batch: number, length: number): number {
  const perToken =
    12 * a.width + 8 * a.intermediateSize + 6 * matrixShape(a, 'qkv')[0] + 6 * a.heads * length;
  return (4 / 3 + 2 * 0.45) * batch * length * perToken * float;
}

/** Both models' logits for a few tokens at a time, and what is computed between them. */
function lossBytes(a: Architecture, tokens: number): number {
  const together = Math.min(tokensAtATime(a.vocabularySize, {}), tokens);
  return 2 * together * a.vocabularySize * float + 50e6;
}

function megabytes(bytes: number): string {
  return `${Math.ceil(bytes / 1e6)} MB`;
}
