import type { Vocabulary } from '../student/student.ts';

/** What stands behind the last layer. */
export interface Head {
  /** Final norm, [width]. */
  norm: Float32Array;
  /** Row-major [vocabulary, width]: the head, or the embedding where they are tied. */
  weight: Float32Array;
}

/** Norm and head of a model, whole in memory. */
export async function readHead(model: Vocabulary): Promise<Head> {
  const role = model.architecture.tiedHead ? 'embedding' : 'head';
  return { norm: await model.tensor('norm').read(), weight: await model.tensor(role).read() };
}
