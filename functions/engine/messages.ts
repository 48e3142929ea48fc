import type { DecoderOptions } from '../../artifact/decoder/decoder-options.ts';
import type { EngineStats, GenerationChunk, GenerationRequest } from './engine.ts';
import type { ConstraintHandle } from './grammar/constraint.ts';

/** What passes between the engine's caller and its worker thread. */

export interface WorkerOptions {
  decoder: DecoderOptions;
  /** Sequences that run at once. */
  slots: number;
  /** Bytes that keys and values of past sequences may take. */
  prefixCacheBytes: number;
  speculation: boolean;
  /** The model that guesses. */
  draft?: DecoderOptions | undefined;
}

/** A request whose prompt lies in memory that both threads see. */
export interface SharedRequest extends Omit<GenerationRequest, 'prompt' | 'grammar'> {
  prompt: Int32Array;
  /** Its grammar, compiled. */
  constraint?: ConstraintHandle;
}

export type ToWorker =
  /** The model's files are there. */
  | { type: 'open' }
  | { type: 'generate'; id: number; request: SharedRequest }
  | { type: 'cancel'; id: number }
  /** Keys and values for any prompt that begins with these tokens; the memory changes hands. */
  | { type: 'prefix'; id: number; tokens: Int32Array; memory: ArrayBuffer }
  | { type: 'stats'; id: number }
  | { type: 'close' };

export type FromWorker =
  | { type: 'ready' }
  | { type: 'failed'; message: string }
  /** The model that guesses does so no more; the engine goes on. */
  | { type: 'draft failed'; message: string }
  /** What one step made. A message takes time of both threads: sequences that ran together share it. */
  | { type: 'results'; results: SequenceResult[] }
  | { type: 'stats'; id: number; stats: EngineStats }
  /** Those of that id are there no more. */
  | { type: 'dropped'; id: number };

export type SequenceResult =
  | { id: number; chunk: GenerationChunk }
  /** The sequence failed with this message. */
  | { id: number; failure: string };
