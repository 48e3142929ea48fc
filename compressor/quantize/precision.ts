import { UsageError } from '../../artifact/errors.ts';
import { type MatrixKind, matrixKinds, type Precision } from '../../artifact/manifest.ts';
import type { Checkpoint, CheckpointTensor } from '../checkpoint/checkpoint.ts';
import { blockMatrices, matrixShape } from '../graph/layer.ts';
import type { FoldPlan } from '../plan/plan.ts';
import { partsOf } from '../weights/block.ts';
import { mixturesOf } from '../weights/mixture.ts';
import { ownForm } from './own-form.ts';

/** The errors of int8 are too small for it to matter which inputs they meet. */
export const calibratedBits = 4;

/** What the user asked for; `blockSize` is left open where it is not fixed. */
export type PrecisionRequest = Record<MatrixKind, { bits: 4 | 8 | 32; blockSize?: 32 | 64 | 128 }>;

/** `auto:5`: int4, and int8 where it is worth its bytes, up to so many bits a block weight. */
const autoForm = /^auto:(\d+(?:\.\d+)?)(?=,|$)/;

const bitsOf = { int4: 4, int8: 8, none: 32 } as const;

/**
 * Reads `int4`, `int8:64`, `none`, `auto:5`, `int4:128,down=int8,embedding=none`: one form for all, then
 * exceptions by kind. `auto` stands for the least it chooses, int4; see `bitsBudget`. Embedding and head default to int8 under int4: they are a small model's most sensitive matrix.
 * @throws UsageError
 */
export function parsePrecision(text: string): PrecisionRequest {
  const [all, ...exceptions] = text.split(',').map((part) => part.trim());
  const base = parseForm(autoForm.test(text) ? 'int4' : all!, text);
  const request = Object.fromEntries(matrixKinds.map((kind) => [kind, { ...base }])) as PrecisionRequest;
  if (base.bits === 4) request.embedding = { ...base, bits: 8 };
  for (const exception of exceptions) {
    const [kind, form, ...rest] = exception.split('=');
    if (!matrixKinds.includes(kind as MatrixKind) || form === undefined || rest.length > 0) {
      throw new UsageError(
        `Quantization "${text}": "${exception}" should be KIND=FORM with a kind of ${matrixKinds.join(', ')}.`,
      );
    }
    request[kind as MatrixKind] = parseForm(form, text);
  }
  return request;
}

function parseForm(form: string, text: string): PrecisionRequest[MatrixKind] {
  const [, name, size] = /^(int4|int8|none)(?::(32|64|128))?$/.exec(form) ?? [];
  if (name === undefined || (name === 'none' && size !== undefined)) {
    throw new UsageError(
      `Quantization "${text}": "${form}" is none of int4, int8, none, with :32, :64 or :128 after int4 and int8, and no auto:BITS.`,
    );
  }
  const bits = bitsOf[name as keyof typeof bitsOf];
  return { bits, ...(size !== undefined && { blockSize: Number(size) as 32 | 64 | 128 }) };
}

/** The mean bits of a block weight, scales included, that `auto` may spend; undefined for other forms. */
export function bitsBudget(quantize: string): number | undefined {
  const [, bits] = autoForm.exec(quantize.trim()) ?? [];
  return bits === undefined ? undefined : Number(bits);
}

/** Whether calibration has a say in any of the matrices. */
export function fitsCodes(quantize: string): boolean {
  const request = parsePrecision(quantize);
  return blockMatrices.some((matrix) => request[matrix].bits === calibratedBits);
}

/**
 * The largest block size whose padding costs at most an eighth: large blocks run fastest and store the
 * fewest scales, padded columns cost as much as real ones.
 */
export function defaultBlockSize(inputs: number): 32 | 64 | 128 {
  for (const size of [128, 64] as const) {
    if (Math.ceil(inputs / size) * size <= inputs * 1.125) return size;
  }
  return 32;
}

/**
 * Patches are few and small, and they are fitted to float activations: int8 under any quantization, in the
 * blocks of the matrices with as many inputs.
 */
export function patchPrecision({ qkv }: Record<MatrixKind, Precision>): Precision {
  return qkv.bits === 32 ? qkv : { ...qkv, bits: 8 };
}

/** `int4:128`, `none`: the form `parsePrecision` reads. */
export function formatPrecision({ bits, blockSize }: Precision): string {
  return bits === 32 ? 'none' : `int${bits}:${blockSize}`;
}

/**
 * Fixes what the request leaves open. A kind whose tensors all lie in the checkpoint in the wanted number
 * of bits keeps the checkpoint's own blocks, which are then repacked without loss.
 */
export function resolvePrecision(
  checkpoint: Checkpoint,
  plan: FoldPlan,
  request: PrecisionRequest,
): Record<MatrixKind, Precision> {
  const { architecture: a } = checkpoint;
  const mixtures = mixturesOf(plan);
  const tensorsOf = (kind: MatrixKind): CheckpointTensor[] => {
    if (kind === 'embedding') {
      return (a.tiedHead ? ['embedding' as const] : ['embedding' as const, 'head' as const]).map((role) =>
        checkpoint.tensor(role),
      );
    }
    const layers = mixtures.flat().map(({ layer }) => layer);
    return layers.flatMap((layer) =>
      partsOf(kind).map((role) => checkpoint.tensor(`layers.${layer}.${role}`)),
    );
  };
  const resolve = (kind: MatrixKind): Precision => {
    const { bits, blockSize } = request[kind];
    if (bits === 32) return { bits };
    if (blockSize !== undefined) return { bits, blockSize };
    const unmixed = kind === 'embedding' || mixtures.every((mixture) => mixture.length === 1);
    if (unmixed && tensorsOf(kind).every((tensor) => ownForm(tensor, bits, 32)))
      return { bits, blockSize: 32 };
    return { bits, blockSize: defaultBlockSize(kind === 'embedding' ? a.width : matrixShape(a, kind)[1]) };
  };
  return Object.fromEntries(matrixKinds.map((kind) => [kind, resolve(kind)])) as Record<
    MatrixKind,
    Precision
  >;
}
