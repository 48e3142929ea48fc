import { GrammarError } from '../engine/engine.ts';

/** What cannot be put into a grammar, though it means something: left to the model where nobody insists. */
export class UnsupportedError extends GrammarError {
  override name = 'UnsupportedError';
}
