/**
 * The only door to ONNX Runtime. `run` is synchronous under its promise: it blocks the thread that calls
 * it, so a server calls it from a worker thread.
 */
import { availableParallelism } from 'node:os';
import { InferenceSession, Tensor } from 'onnxruntime-node';

export { InferenceSession, Tensor };

export interface SessionOptions {
  /** @default the cores this process may use */
  threads?: number;
  /** Keeps idle threads spinning for the next operator: 1.4x faster decoding on cores of one's own. @default true */
  spinning?: boolean;
}

/**
 * Opens a model from a path (its external data is then memory-mapped) or, for small graphs whose weights
 * are inputs, from bytes.
 */
export function openSession(
  model: string | Uint8Array,
  options: SessionOptions = {},
): Promise<InferenceSession> {
  const sessionOptions: InferenceSession.SessionOptions = {
    executionProviders: ['cpu'],
    intraOpNumThreads: options.threads ?? availableParallelism(),
    interOpNumThreads: 1,
    executionMode: 'sequential',
    graphOptimizationLevel: 'all',
    logSeverityLevel: 3,
    extra: {
      session: {
        intra_op: { allow_spinning: (options.spinning ?? true) ? '1' : '0' },
      },
    },
  };
  return typeof model === 'string'
    ? InferenceSession.create(model, sessionOptions)
    : InferenceSession.create(model, sessionOptions);
}

/** A float32 tensor over `data`, not copied. */
export function float32(data: Float32Array, shape: readonly number[]): Tensor {
  return new Tensor('float32', data, shape);
}

export function int32(data: Int32Array, shape: readonly number[]): Tensor {
  return new Tensor('int32', data, shape);
}
