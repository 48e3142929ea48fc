/** Changes the logits of one sequence before a token is taken from them. */
export interface LogitsProcessor {
  /** @param logits [vocabulary], changed in place; -Infinity forbids a token */
  process(logits: Float32Array): void;
  /** The token that was taken, once for each in turn. */
  accept(token: number): void;
}
