import { createHash } from 'node:crypto';
import { UsageError } from '../../artifact/errors.ts';
import type { Tokenizer } from '../../artifact/tokenizer.ts';
import { beginningOf } from './beginning.ts';

/** A text cut for evaluation: windows that do not overlap, each begun as the tokenizer begins any text. */
export interface TextWindows {
  /** Token ids of each window, with what the tokenizer puts before a text. */
  windows: Int32Array[];
  /** Per window: the token that follows each position, -1 where none counts. */
  targets: Int32Array[];
  /** Predicted tokens. */
  tokens: number;
}

/**
 * @param length tokens of a window, the beginning included
 * @param maxTokens ends after this many, to bound the time
 * @throws UsageError for a text of less than two tokens
 */
export function cutWindows(
  tokenizer: Tokenizer,
  text: string,
  length: number,
  maxTokens = Infinity,
): TextWindows {
  const beginning = beginningOf(tokenizer, text);
  const ids = firstTokens(tokenizer, text, maxTokens + length);
  const windows: Int32Array[] = [];
  const targets: Int32Array[] = [];
  let tokens = 0;
  const step = length - beginning.length;
  if (step < 2) throw new UsageError(`A window of ${length} tokens is too short: 16 at least.`);
  for (let start = 0; start < ids.length && tokens < maxTokens; start += step) {
    const window = Int32Array.from([...beginning, ...ids.slice(start, start + step)]);
    if (window.length < 2) break;
    // The last position predicts what lies beyond the window.
    targets.push(window.map((_, i) => window[i + 1] ?? -1));
    windows.push(window);
    tokens += window.length - 1;
  }
  if (tokens === 0) throw new UsageError('The text has fewer than two tokens: there is nothing to predict.');
  return { windows, targets, tokens };
}

/** All windows but the first so many. */
export function windowsFrom({ windows, targets }: TextWindows, first: number): TextWindows {
  const rest = targets.slice(first);
  const tokens = rest.reduce((sum, target) => sum + target.filter((id) => id >= 0).length, 0);
  return { windows: windows.slice(first), targets: rest, tokens };
}

/** Tokens of the longest window. A loop: a call takes no more arguments than the stack holds. */
export function longestOf(windows: readonly Int32Array[]): number {
  return windows.reduce((longest, window) => Math.max(longest, window.length), 0);
}

/** Characters a token, at most, in all but odd texts; those are read in further attempts. */
const tokenLength = 16;

/** At least `count` tokens from the text's start, where it has as many, without reading all of a long text. */
export function firstTokens(tokenizer: Tokenizer, text: string, count: number): number[] {
  for (let length = count * tokenLength; ; length *= 2) {
    const ids = tokenizer.encode(text.slice(0, length), { addSpecialTokens: false });
    if (ids.length > count || length >= text.length) return ids;
  }
}

/** Mean negative log-likelihood in nats a token, and its exponential. */
export interface Quality {
  nll: number;
  perplexity: number;
  tokens: number;
}

export function qualityOf(total: number, tokens: number): Quality {
  const nll = total / tokens;
  return { nll, perplexity: Math.exp(nll), tokens };
}

/** Tells texts apart. */
export function windowsDigest(windows: readonly Int32Array[]): string {
  const hash = createHash('sha256');
  for (const window of windows) hash.update(window);
  return hash.digest('hex');
}
