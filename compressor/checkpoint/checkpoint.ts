import type { Manifest } from '../../artifact/manifest.ts';
import type { Architecture } from './architecture.ts';

/**
 * The model to fold, whatever its file format. Nothing is read before it is asked for: opening costs the
 * headers and the tokenizer, so that memory never grows with the checkpoint.
 */
export interface Checkpoint {
  /** For messages and the manifest: the folder's or file's name. */
  readonly name: string;
  readonly path: string;
  /** Paths of all files that decide what it is, those it could have but lacks included. */
  readonly files: readonly string[];
  readonly architecture: Architecture;
  readonly tokens: {
    bos: number | undefined;
    eos: number[];
    chatTemplate: string | undefined;
    /** How its makers sample it, where they say so. */
    sampling?: Manifest['sampling'];
  };
  /** The bytes of tokenizer.json and, where there is one, tokenizer_config.json. */
  tokenizerFiles(): Promise<{ 'tokenizer.json': Uint8Array; 'tokenizer_config.json'?: Uint8Array }>;
  /** @throws InvalidDataError where the checkpoint lacks the tensor or its shape is wrong. */
  tensor(role: TensorRole): CheckpointTensor;
  close(): Promise<void>;
}

/** A tensor in canonical form: rotary halves not interleaved, norm weights such that y = x / rms(x) * w. */
export interface CheckpointTensor {
  readonly role: TensorRole;
  /** [outputs, inputs] for a matrix, [n] for a vector. */
  readonly shape: readonly number[];
  /** As stored: `F32`, `BF16`, `Q4_0`, ... */
  readonly storedAs: string;
  /** Row-major float32. Rows `start` to `start + count` (all by default), read by range. */
  read(start?: number, count?: number): Promise<Float32Array>;
  /**
   * The stored blocks themselves where they can be repacked without loss (Q4_0: `bits` 4, zero point 8;
   * Q8_0: `bits` 8), in canonical row order: `values` holds one unsigned code per weight, shape as above;
   * `scales` one float32 per block of 32 inputs: weight = (value - 2^(bits-1)) * scale.
   * Undefined for every other form.
   */
  readBlocks?: (start?: number, count?: number) => Promise<StoredBlocks>;
}

export interface StoredBlocks {
  bits: 4 | 8;
  blockSize: 32;
  values: Uint8Array;
  scales: Float32Array;
}

/** The matrices and vectors of one layer, by their canonical names. Vectors are optional by family. */
export const layerRoles = [
  'attention.norm',
  'attention.q',
  'attention.k',
  'attention.v',
  'attention.output',
  'attention.q.bias',
  'attention.k.bias',
  'attention.v.bias',
  'attention.q.norm',
  'attention.k.norm',
  'attention.postNorm',
  'mlp.norm',
  'mlp.gate',
  'mlp.up',
  'mlp.down',
  'mlp.postNorm',
] as const;

export type LayerRole = (typeof layerRoles)[number];

export type TensorRole = 'embedding' | 'head' | 'norm' | `layers.${number}.${LayerRole}`;
