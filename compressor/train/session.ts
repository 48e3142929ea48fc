import type { Session, SessionOptions } from '../../artifact/onnxruntime/session.ts';
import { computeSession } from '../device.ts';

/** A session for one of several graphs that take turns. */
export function trainingSession(graph: Uint8Array, options: SessionOptions = {}): Session {
  return computeSession(graph, {
    // Threads that spin for one session's next run would be in the way of the others.
    spinning: false,
    ...options,
    // Probabilities far from any that matter are denormal, and slow to multiply by.
    config: { 'session.set_denormal_as_zero': '1', ...options.config },
  });
}
