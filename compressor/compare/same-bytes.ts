import type { Checkpoint } from '../checkpoint/checkpoint.ts';
import type { FoldPlan } from '../plan/plan.ts';
import { foldedSizes } from '../plan/sizes.ts';
import { parsePrecision, resolvePrecision } from '../quantize/precision.ts';

const sizes = [32, 64, 128] as const;

/** Forms of a model, from all in int8 to all in int4: blocks, the kinds that suffer most from int4, embedding. */
function* forms(): Generator<string> {
  const embeddings = (bits: readonly number[]) =>
    bits.flatMap((bit) => sizes.map((size) => `embedding=int${bit}:${size}`));
  for (const size of sizes) {
    for (const embedding of ['embedding=none', ...embeddings([8])]) yield `int8:${size},${embedding}`;
    for (const kinds of [[], ['down'], ['down', 'output'], ['qkv', 'output', 'down']])
      for (const embedding of embeddings([8, 4]))
        yield [`int4:${size}`, ...kinds.map((kind) => `${kind}=int8:${size}`), embedding].join(',');
  }
}

/** How an unfolded model is stored in so many bytes. */
export interface SameBytes {
  /** As for `--quantize`. */
  quantize: string;
  /** False: it is the smallest form, and larger than that. */
  fits: boolean;
}

/**
 * The largest form of the unfolded model that takes no more than `bytes`, else the smallest there is.
 * @param overhead bytes beside the weights: graph, tokenizer and rotary tables
 */
export function quantizeTo(
  checkpoint: Checkpoint,
  plan: FoldPlan,
  bytes: number,
  overhead: number,
): SameBytes {
  const all = [...forms()].map((quantize) => ({
    quantize,
    bytes: sizeOf(checkpoint, plan, quantize) + overhead,
  }));
  const bySize = all.toSorted((a, b) => b.bytes - a.bytes);
  const found = bySize.find((form) => form.bytes <= bytes);
  return { quantize: (found ?? bySize.at(-1)!).quantize, fits: found !== undefined };
}

/** Bytes of a plan's weights in one form. */
export function sizeOf(checkpoint: Checkpoint, plan: FoldPlan, quantize: string): number {
  const precision = resolvePrecision(checkpoint, plan, parsePrecision(quantize));
  return foldedSizes(checkpoint.architecture, plan, precision).bytes;
}
