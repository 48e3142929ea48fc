/**
 * Tail-layer distillation: how far a layer's output is from the teacher's. Per token the squared distance over
 * the squared length of the teacher's state, so that the few tokens with massive states do not own the sum;
 * 1 means as far as the teacher's state is long.
 *
 * @param student [tokens, width]
 * @param teacher the same shape
 * @param factor of the sum over tokens in the loss
 * @returns the sum over tokens, and factor * its gradient
 */
export function tailLoss(
  student: Float32Array,
  teacher: Float32Array,
  width: number,
  factor: number,
): { sum: number; gradient: Float32Array } {
  const gradient = new Float32Array(student.length);
  let sum = 0;
  for (let start = 0; start < student.length; start += width) {
    let [distance, size] = [0, tiny];
    for (let i = start; i < start + width; i++) {
      distance += (student[i]! - teacher[i]!) ** 2;
      size += teacher[i]! ** 2;
    }
    sum += distance / size;
    const slope = (2 * factor) / size;
    for (let i = start; i < start + width; i++) gradient[i] = slope * (student[i]! - teacher[i]!);
  }
  return { sum, gradient };
}

/** Keeps a state of zeros from dividing by nothing. */
const tiny = 1e-12;
