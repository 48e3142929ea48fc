import { UsageError } from '../../artifact/errors.ts';
import type { Tokenizer } from '../../artifact/tokenizer.ts';

/** A text cut for evaluation: windows that do not overlap, each begun as the tokenizer begins any text. */
export interface Pieces {
  /** Token ids of each window, with what the tokenizer puts before a text. */
  pieces: Int32Array[];
  /** Per window: the token that follows each position, -1 where none counts. */
  targets: Int32Array[];
  /** Predicted tokens. */
  tokens: number;
}

/**
 * @param window tokens of a window, the beginning included
 * @param maxTokens ends after this many, to bound the time
 * @throws UsageError for a text of less than two tokens
 */
export function cutPieces(tokenizer: Tokenizer, text: string, window: number, maxTokens = Infinity): Pieces {
  const beginning = tokenizer.encode('');
  const ids = tokenizer.encode(text, { addSpecialTokens: false });
  const pieces: Int32Array[] = [];
  const targets: Int32Array[] = [];
  let tokens = 0;
  const step = window - beginning.length;
  if (step < 2) throw new UsageError(`A window of ${window} tokens is too short: 16 at least.`);
  for (let start = 0; start < ids.length && tokens < maxTokens; start += step) {
    const piece = Int32Array.from([...beginning, ...ids.slice(start, start + step)]);
    if (piece.length < 2) break;
    // The last position predicts what lies beyond the window.
    targets.push(piece.map((_, i) => piece[i + 1] ?? -1));
    pieces.push(piece);
    tokens += piece.length - 1;
  }
  if (tokens === 0) throw new UsageError('The text has fewer than two tokens: there is nothing to predict.');
  return { pieces, targets, tokens };
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
