import type { DecoderOptions } from '../../artifact/decoder/decoder.ts';
import type { GenerationChunk, GenerationRequest } from './engine.ts';
import type { ConstraintHandle } from './grammar/constraint.ts';

/** What passes between the engine's caller and its worker thread. */

export interface WorkerOptions {
  decoder: DecoderOptions;
  /** Sequences that run at once. */
  slots: number;
}

/** A request whose prompt may lie in memory that both threads see. */
export interface SharedRequest extends Omit<GenerationRequest, 'prompt' | 'grammar'> {
  prompt: number[] | Int32Array;
  /** Its grammar, compiled. */
  constraint?: ConstraintHandle;
}

export type ToWorker =
  | { type: 'generate'; id: number; request: SharedRequest }
  | { type: 'cancel'; id: number }
  | { type: 'close' };

export type FromWorker =
  | { type: 'ready' }
  | { type: 'failed'; message: string }
  | { type: 'chunk'; id: number; chunk: GenerationChunk }
  | { type: 'error'; id: number; message: string };
