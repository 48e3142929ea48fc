import type { Vocabulary } from '../student/student.ts';

/**
 * The hidden states before the first layer. Only the rows in use are read.
 * @param sequences token ids of each sequence
 * @returns per sequence [tokens, width]
 */
export async function embed(model: Vocabulary, sequences: Int32Array[]): Promise<Float32Array[]> {
  const { width, embeddingScale } = model.architecture;
  const embedding = model.tensor('embedding');
  const rows = new Map<number, Float32Array>();
  for (const token of new Set(sequences.flatMap((sequence) => [...sequence]))) {
    rows.set(token, await embedding.read(token, 1));
  }
  return sequences.map((sequence) => {
    const states = new Float32Array(sequence.length * width);
    sequence.forEach((token, position) => {
      states.set(rows.get(token)!, position * width);
    });
    if (embeddingScale !== 1) for (let i = 0; i < states.length; i++) states[i]! *= embeddingScale;
    return states;
  });
}
