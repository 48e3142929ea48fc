import { promptChunk } from '../../artifact/decoder/decoder-options.ts';

/**
 * How prompts are cut up, so that an answer does not depend on where an earlier prompt ended.
 *
 * The model's own kernels take two rows at a time and a single one by another way, which rounds otherwise: prompts are
 * read, and reused, two tokens at a time. The weights for prompts give the same products however rows are put together,
 * but attention takes a single token by another way: none is left over, but of a prompt of two.
 */
const even = (tokens: number) => tokens - (tokens % 2);

/** Tokens of the next chunk, of so many left; a last one left over is for the step of single tokens. */
export function pairedChunk(left: number): number {
  return left <= promptChunk ? even(left) : promptChunk;
}

/** As `pairedChunk`, of so many that the weights for prompts are to read. */
export function readerChunk(left: number): number {
  return left === promptChunk + 1 ? promptChunk - 2 : Math.min(left, promptChunk);
}

/** Of so many known tokens of a prompt, those to begin with. @param readsApart whether it has weights of its own */
export function reusable(known: number, promptLength: number, readsApart: boolean): number {
  const tokens = even(known);
  return readsApart && promptLength - 1 - tokens === 1 ? tokens - 2 : tokens;
}
