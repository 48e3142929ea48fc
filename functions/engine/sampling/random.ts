import { randomInt } from 'node:crypto';

/**
 * A seeded generator of numbers in [0, 1) with 32 random bits: sfc32 by Chris Doty-Humphrey, which passes
 * PractRand; small and fast, for sampling tokens, not for secrets.
 */
export function randomSource(seed = randomInt(2 ** 47)): () => number {
  // Any integer is a seed: both halves of it enter the state.
  let a = seed | 0;
  let b = Math.floor(seed / 2 ** 32) | 0;
  let c = 0x9e3779b9 | 0;
  let counter = 1;
  const next = () => {
    const sum = (a + b + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (c << 21) | (c >>> 11);
    c = (c + sum) | 0;
    return (sum >>> 0) / 2 ** 32;
  };
  for (let i = 0; i < 15; i++) next(); // lets the seed reach every bit
  return next;
}
