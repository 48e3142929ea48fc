/**
 * Cosine of the angle between each token's states in two lists of windows.
 * @param a per window [tokens, width]
 * @param b of the same shapes
 * @returns one number a token; 0 where a state is 0
 */
export function rowCosines(a: Float32Array[], b: Float32Array[], width: number): number[] {
  return a.flatMap((window, w) => {
    const other = b[w]!;
    return Array.from({ length: window.length / width }, (_, token) => {
      const start = token * width;
      let [xy, xx, yy] = [0, 0, 0];
      for (let i = start; i < start + width; i++) {
        xy += window[i]! * other[i]!;
        xx += window[i]! * window[i]!;
        yy += other[i]! * other[i]!;
      }
      return xy / Math.sqrt(xx * yy || 1);
    });
  });
}
