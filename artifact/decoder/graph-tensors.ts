import type { Tensor } from '../onnxruntime/tensor.ts';
import type { CacheBinding } from './kv-cache.ts';

/** What a run of a graph reads besides the cache. */
export interface ReadTensors {
  /** [batch, tokens] */
  tokens: Tensor;
  /** [batch]: the place of each sequence's last token. */
  lastToken: Tensor;
  /** []: tokens of the longest sequence. */
  totalLength: Tensor;
}

/** What a run reads and writes that gives logits. */
export interface RunTensors extends ReadTensors {
  /** [rows]: of all tokens, counted through the batch, those whose logits are wanted. */
  wanted: Tensor;
  /** [rows, vocabulary] */
  logits: Tensor;
}

export interface GraphTensors {
  inputs: Record<string, Tensor>;
  outputs: Record<string, Tensor>;
}

/** By the graph's own names. */
export function graphTensors(cache: CacheBinding, { wanted, logits, ...read }: RunTensors): GraphTensors {
  const { inputs, outputs } = readerTensors(cache, read);
  return { inputs: { ...inputs, logits_rows: wanted }, outputs: { logits, ...outputs } };
}

/** As `graphTensors`, of a graph that reads prompts alone. */
export function readerTensors(
  { past, present }: CacheBinding,
  { tokens, lastToken, totalLength }: ReadTensors,
): GraphTensors {
  return {
    inputs: { input_ids: tokens, seqlens_k: lastToken, total_sequence_length: totalLength, ...past },
    outputs: present,
  };
}
