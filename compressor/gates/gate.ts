/**
 * The polarizing gate of GDP (arXiv 2109.02220), a smoothed L0 norm: g = (1 + ε) α² / (α² + ε), near a
 * step at 0 when ε is small. The factor 1 + ε makes α = 1 the identity at any ε.
 */
export function gate(alpha: number, epsilon: number): number {
  return ((1 + epsilon) * alpha * alpha) / (alpha * alpha + epsilon);
}

/** dg/dα. Zero at α = 0: a gate that is shut stays shut. Steepest at |α| = √(ε/3). */
export function gateSlope(alpha: number, epsilon: number): number {
  return (2 * epsilon * (1 + epsilon) * alpha) / (alpha * alpha + epsilon) ** 2;
}
