/** One step of a cure. Losses are means over the step's tokens, in nats but for `tail`. */
export interface StepReport {
  step: number;
  steps: number;
  /** Trained on so far. */
  tokens: number;
  /** What is minimized: the weighted sum of the three below. */
  loss: number;
  /** Measured whether or not it has a weight. */
  crossEntropy: number;
  divergence: number;
  /** Mean over the tail's layers of the squared distance to the teacher's states, relative to their size. */
  tail: number;
  /** Norm of all gradients together, before clipping. */
  gradientNorm: number;
  learningRate: number;
  /** Since this process began to train. */
  tokensPerSecond: number;
  /** At that rate. */
  secondsLeft: number;
}

/** Quality on documents that are never trained on. */
export interface HeldOut {
  /** Steps taken before. */
  step: number;
  /** Trained on before. */
  tokens: number;
  /** Of the student. */
  perplexity: number;
  /** Of the checkpoint on the same tokens, where it is asked. */
  teacherPerplexity?: number;
  /** Mean KL(teacher || student) in nats a token; 0 without a teacher. */
  divergence: number;
  /** Tokens measured on. */
  measured: number;
}
