import type { LoadPhase } from '../model/load-model.ts';

/** `init`: the code is loaded; `first_token`: the first byte of a streamed completion is on its way. */
export type ColdPhase = 'init' | LoadPhase | 'first_token';

const order: ColdPhase[] = ['init', 'manifest', 'blobs', 'session', 'first_token'];

/** When each part of this process's start was done, in milliseconds since the process began. */
export class ColdStart {
  readonly #done = new Map<ColdPhase, number>();
  #reported = false;

  /** The first time counts; a model that is loaded again is no cold start. @param at as by `performance.now` */
  mark(phase: ColdPhase, at = performance.now()): void {
    if (!this.#done.has(phase)) this.#done.set(phase, at);
  }

  /** Milliseconds that each phase took after the one before it, and all together; once, when all are done. */
  report(): Record<ColdPhase | 'total', number> | undefined {
    if (this.#reported || !order.every((phase) => this.#done.has(phase))) return undefined;
    this.#reported = true;
    let before = 0;
    const phases = order.map((phase) => {
      const at = this.#done.get(phase)!;
      const took = at - before;
      before = at;
      return [phase, took] as const;
    });
    return { ...Object.fromEntries(phases), total: before } as Record<ColdPhase | 'total', number>;
  }
}
