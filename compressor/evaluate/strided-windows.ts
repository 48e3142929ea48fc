import { UsageError } from '../../artifact/errors.ts';
import type { Tokenizer } from '../../artifact/tokenizer.ts';
import { beginningOf } from './beginning.ts';
import { firstTokens, type TextWindows } from './windows.ts';

export interface StrideOptions {
  /** Tokens of a window, its beginning included. */
  length: number;
  /** Tokens from the start of one window to that of the next; all others of a window are context alone. */
  stride: number;
  /** Where the tokenizer's beginning-of-text tokens stand: before every window, or before the text alone. */
  bos: 'each' | 'first';
  /** Ends after the window that reaches this many predicted tokens, to bound the time. */
  maxTokens?: number | undefined;
}

/**
 * A text cut into windows that overlap, so that tokens are predicted with much context: each token of the
 * text counts once, in the first window that holds it. That is the protocol of transformers' page on
 * perplexity, whose own mean weighs a window by one token less than it predicts; here all tokens weigh the
 * same.
 * @throws UsageError for a text of less than two tokens, or a stride that would skip some
 */
export function cutStridedWindows(tokenizer: Tokenizer, text: string, options: StrideOptions): TextWindows {
  const { length, stride, bos, maxTokens = Infinity } = options;
  const beginning = beginningOf(tokenizer, text);
  const ids = firstTokens(tokenizer, text, maxTokens + length);
  const lead = bos === 'each' ? beginning : [];
  const stream = bos === 'each' ? ids : [...beginning, ...ids];
  const body = length - lead.length;
  if (stride < 1 || stride > body) {
    const room = lead.length > 0 ? ` beside its beginning of ${lead.length}` : '';
    throw new UsageError(
      `A window of ${length} tokens holds ${body} of the text${room}: the stride can be 1 to ${body}, not ${stride}.`,
    );
  }
  const windows: Int32Array[] = [];
  const targets: Int32Array[] = [];
  let tokens = 0;
  let counted = 0; // of the stream
  for (let start = 0; counted < stream.length && tokens < maxTokens; start += stride) {
    const end = Math.min(start + body, stream.length);
    const window = Int32Array.from([...lead, ...stream.slice(start, end)]);
    const target = new Int32Array(window.length).fill(-1);
    for (let i = counted; i < end; i++) {
      const before = lead.length + i - start - 1;
      if (before < 0) continue; // the text's first token: nothing predicts it
      target[before] = stream[i]!;
      tokens++;
    }
    windows.push(window);
    targets.push(target);
    counted = end;
  }
  if (tokens === 0) throw new UsageError('The text has fewer than two tokens: there is nothing to predict.');
  return { windows, targets, tokens };
}
