import type { LogitsProcessor } from '../sampling/processors/logits-processor.ts';
import { Doorbell, SharedConstraint } from './shared-constraint.ts';

/** A constraint on its way to the engine's thread. */
export interface ConstraintHandle {
  constraint: SharedArrayBuffer;
  doorbell: SharedArrayBuffer;
}

/** Milliseconds for a mask that is due, which takes a thousandth of that. A grammar being compiled comes first. */
const maskDeadlineMs = 30_000;

/** What a sequence's next token may be: a grammar, as the engine's thread sees it. */
export class Constraint implements LogitsProcessor {
  readonly #shared: SharedConstraint;
  readonly #doorbell: Doorbell;

  constructor({ constraint, doorbell }: ConstraintHandle) {
    this.#shared = new SharedConstraint(constraint);
    this.#doorbell = new Doorbell(doorbell);
  }

  /**
   * Whether the sequence may take part in a step: the next mask is there, or comes before the step ends. Where it
   * is false, another grammar is being compiled, which takes as long as many steps.
   */
  get available(): boolean {
    return !this.#doorbell.busy || this.#isReady();
  }

  /** For when there is nothing else to do: waits for the next mask. */
  wait(milliseconds: number): void {
    if (!this.#isReady()) this.#shared.wait(milliseconds);
  }

  /** Takes the chance from tokens that the grammar does not allow here. @throws Error where none is left */
  process(logits: Float32Array): void {
    if (!this.#shared.wait(maskDeadlineMs)) {
      throw new Error(`Its grammar gave no answer for ${maskDeadlineMs / 1000} seconds.`);
    }
    if (!applyMask(this.#shared.mask, logits)) {
      throw new Error(
        'Its grammar allows no token here: it has a dead end, or needs text that no token has.',
      );
    }
  }

  accept(token: number): void {
    this.#shared.take(token);
    this.#doorbell.ring();
  }

  /** What failed is ready to say so. */
  #isReady(): boolean {
    try {
      return this.#shared.ready;
    } catch {
      return true;
    }
  }
}

/** Sets the logits of tokens whose bit is 0 to minus infinity. @returns whether any token is left */
function applyMask(mask: Int32Array, logits: Float32Array): boolean {
  let any = 0;
  for (let word = 0; word < mask.length; word++) {
    const bits = mask[word]!;
    any |= bits;
    if (bits === -1) continue;
    const start = word * 32;
    const end = Math.min(start + 32, logits.length);
    if (bits === 0) {
      for (let i = start; i < end; i++) logits[i] = Number.NEGATIVE_INFINITY;
    } else {
      for (let i = start; i < end; i++) if (!(bits & (1 << i))) logits[i] = Number.NEGATIVE_INFINITY;
    }
  }
  return any !== 0;
}
