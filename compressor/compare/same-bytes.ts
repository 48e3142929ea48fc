import type { MatrixKind, Precision } from '../../artifact/manifest.ts';
import type { Checkpoint } from '../checkpoint/checkpoint.ts';
import type { FoldPlan } from '../plan/plan.ts';
import { foldedSizes } from '../plan/sizes.ts';
import { bitsBudget, parsePrecision, resolvePrecision } from '../quantize/precision.ts';

/** Block sizes; without one, each matrix has that of its width. */
const sizes = ['', ':32', ':64', ':128'] as const;

/** Bits a block weight, scales included, that lie between int4 and int8 whatever the block size. */
const bitsBetween = Array.from({ length: 80 }, (_, i) => (4.2 + i / 20).toFixed(2));

/**
 * Forms of a model, those that harm it less before the others: blocks in int8; blocks between int8 and int4;
 * in int4; and the same with the embedding in int4.
 * @param calibrated whether matrices can be chosen by what rounding them does
 */
function tiersOf(calibrated: boolean): string[][] {
  const embeddings = (bits: number) => sizes.map((size) => `embedding=int${bits}${size}`);
  const withEach = (blocks: readonly string[], bits: number) =>
    blocks.flatMap((form) => embeddings(bits).map((embedding) => `${form},${embedding}`));
  const int8 = sizes.map((size) => `int8${size}`);
  const int4 = sizes.map((size) => `int4${size}`);
  const mixed = calibrated
    ? bitsBetween.map((bits) => `auto:${bits}`)
    : sizes.flatMap((size) =>
        [['down'], ['down', 'output'], ['qkv', 'output', 'down']].map((kinds) =>
          [`int4${size}`, ...kinds.map((kind) => `${kind}=int8${size}`)].join(','),
        ),
      );
  return [
    [...int8.map((form) => `${form},embedding=none`), ...withEach(int8, 8)],
    withEach(mixed, 8),
    withEach(int4, 8),
    withEach(mixed, 4),
    withEach(int4, 4),
  ];
}

/** How an unfolded model is stored in so many bytes. */
export interface SameBytes {
  /** As for `--quantize`. */
  quantize: string;
  /** False: it is the smallest form, and larger than that. */
  fits: boolean;
}

/**
 * The form of the unfolded model that takes no more than `bytes` and harms it least, the largest of its kind;
 * else the smallest there is.
 * @param overhead bytes beside the weights: graph, tokenizer and rotary tables
 */
export function quantizeTo(
  checkpoint: Checkpoint,
  plan: FoldPlan,
  bytes: number,
  overhead: number,
  calibrated: boolean,
): SameBytes {
  const resolved = new Map<string, Record<MatrixKind, Precision>>();
  const resolve = (quantize: string) => {
    // Whatever its bits, `auto` is int4 to begin with; and to look at all of a checkpoint's tensors takes a while.
    const key = quantize.replace(auto, 'int4');
    let precision = resolved.get(key);
    precision ??= resolvePrecision(checkpoint, plan, parsePrecision(key));
    resolved.set(key, precision);
    return precision;
  };
  const bytesOf = (quantize: string, budget = bitsBudget(quantize)) =>
    foldedSizes(checkpoint.architecture, plan, resolve(quantize), budget).bytes + overhead;
  const tiers = tiersOf(calibrated).map((tier) =>
    tier
      .map((quantize) => ({ quantize, bytes: bytesOf(quantize) }))
      // Less than int4 takes is no budget.
      .filter((form) => !auto.test(form.quantize) || form.bytes > bytesOf(form.quantize, 0))
      .sort((a, b) => b.bytes - a.bytes),
  );
  for (const tier of tiers) {
    const found = tier.find((form) => form.bytes <= bytes);
    if (found) return { quantize: found.quantize, fits: true };
  }
  return { quantize: tiers.at(-1)!.at(-1)!.quantize, fits: false };
}

const auto = /^auto:[^,]*/;

/** Bytes of a plan's weights in one form. */
export function sizeOf(checkpoint: Checkpoint, plan: FoldPlan, quantize: string): number {
  const precision = resolvePrecision(checkpoint, plan, parsePrecision(quantize));
  return foldedSizes(checkpoint.architecture, plan, precision, bitsBudget(quantize)).bytes;
}
