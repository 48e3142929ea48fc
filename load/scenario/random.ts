/**
 * A seeded generator of numbers in [0, 1): mulberry32 by Tommy Ettinger. Nothing of Node's, as k6 runs it too.
 * @param seeds all of them enter the state, so that neighbouring requests have nothing in common
 */
export function randomFrom(...seeds: number[]): () => number {
  let state = 0x9e3779b9;
  for (const seed of seeds) state = mixed((state ^ seed) >>> 0);
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    return mixed(state) / 2 ** 32;
  };
}

function mixed(value: number): number {
  let bits = Math.imul(value ^ (value >>> 15), value | 1);
  bits ^= bits + Math.imul(bits ^ (bits >>> 7), bits | 61);
  return (bits ^ (bits >>> 14)) >>> 0;
}
