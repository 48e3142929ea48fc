/** Numbers that a PyTorch script makes alike (waves.py): scale * sin(0.37 i + 0.011 i^1.5 + seed). */
export function waves(length: number, seed: number, scale = 1, mean = 0): Float32Array {
  return Float32Array.from({ length }, (_, i) => mean + scale * Math.sin(0.37 * i + 0.011 * i ** 1.5 + seed));
}
