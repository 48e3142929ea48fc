import type { Tensor } from '../onnxruntime/tensor.ts';
import type { CacheBinding } from './kv-cache.ts';

/** What a run of the graph reads and writes besides the cache. */
export interface RunTensors {
  /** [batch, tokens] */
  tokens: Tensor;
  /** [rows]: of all tokens, counted through the batch, those whose logits are wanted. */
  wanted: Tensor;
  /** [batch]: the place of each sequence's last token. */
  lastToken: Tensor;
  /** []: tokens of the longest sequence. */
  totalLength: Tensor;
  /** [rows, vocabulary] */
  logits: Tensor;
}

/** By the graph's own names. */
export function graphTensors(
  { past, present }: CacheBinding,
  { tokens, wanted, lastToken, totalLength, logits }: RunTensors,
): { inputs: Record<string, Tensor>; outputs: Record<string, Tensor> } {
  return {
    inputs: {
      input_ids: tokens,
      logits_rows: wanted,
      seqlens_k: lastToken,
      total_sequence_length: totalLength,
      ...past,
    },
    outputs: { logits, ...present },
  };
}
