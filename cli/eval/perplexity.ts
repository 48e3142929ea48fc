import { UsageError } from '../../artifact/errors.ts';
import { checkFinite, type EvaluatedModel } from '../../compressor/evaluate/evaluated-model.ts';
import type { Quality, TextWindows } from '../../compressor/evaluate/windows.ts';
import { readText } from '../calibration-texts.ts';
import type { Measurement } from './measurement.ts';

/** Tokens of a window where the user names none. */
export const defaultWindow = 256;

/** A shorter one would measure how a model copes without context. */
const leastWindow = 16;

export interface PerplexityFlags {
  text: string;
  window?: number;
  stride?: number;
  bos?: 'each' | 'first';
  tokens?: number;
  json?: boolean;
}

/** @throws UsageError for what cannot be meant */
export async function perplexity(flags: PerplexityFlags): Promise<Measurement> {
  refuseNonsense(flags);
  const text = await readText(flags.text);
  return async (model, show, signal) => {
    const length = windowOf(flags, model.contextLength);
    const protocol = flags.stride === undefined ? undefined : await strided(model, flags.stride, flags.bos);
    const windows = await cut(model, text, length, protocol, flags.tokens);
    const quality = await model.evaluate(windows, {
      onProgress: (done, total) => show.update('Evaluating', done, total),
      signal,
    });
    checkFinite(quality.perplexity, model);
    return flags.json ? asJson(quality, length, protocol) : inWords(quality, length, protocol);
  };
}

function refuseNonsense({ window, stride, bos }: PerplexityFlags): void {
  if (window !== undefined && window < leastWindow)
    throw new UsageError(`--window takes ${leastWindow} tokens or more, not ${window}.`);
  if (window !== undefined && stride !== undefined && stride > window)
    throw new UsageError(`--stride ${stride} would skip tokens between windows of ${window}.`);
  if (bos !== undefined && stride === undefined)
    throw new UsageError('--bos goes with --stride: without it every window begins as a text does.');
}

interface Protocol {
  stride: number;
  /** `none`: the tokenizer puts nothing before a text. */
  bos: 'each' | 'first' | 'none';
}

async function strided(
  { tokenizer }: EvaluatedModel,
  stride: number,
  bos: 'each' | 'first' = 'first',
): Promise<Protocol> {
  const { beginningOf } = await import('../../compressor/evaluate/beginning.ts');
  return { stride, bos: beginningOf(tokenizer).length > 0 ? bos : 'none' };
}

function asJson(
  { perplexity, nll, tokens }: Quality,
  window: number,
  protocol: Protocol | undefined,
): string {
  const details = protocol && { window, stride: protocol.stride, bos: protocol.bos };
  return `${JSON.stringify({ perplexity, nll, tokens, ...details })}\n`;
}

function inWords(
  { perplexity, nll, tokens }: Quality,
  window: number,
  protocol: Protocol | undefined,
): string {
  return (
    `perplexity ${perplexity.toFixed(3)} (${nll.toFixed(4)} nats a token) over ${tokens} tokens ` +
    `in windows of ${window}${protocol ? protocolInWords(protocol) : ''}\n`
  );
}

function protocolInWords({ stride, bos }: Protocol): string {
  const beginnings = {
    each: 'every window begun as a text',
    first: 'the text begun, no other window',
    none: 'no beginning-of-text token',
  };
  return `, stride ${stride}, ${beginnings[bos]}`;
}

/** @throws UsageError for a window that the model cannot see at once */
function windowOf({ window }: PerplexityFlags, contextLength: number): number {
  if (window === undefined) return Math.min(defaultWindow, contextLength);
  if (window <= contextLength) return window;
  throw new UsageError(`--window ${window} is beyond the model's context of ${contextLength} tokens.`);
}

async function cut(
  { tokenizer }: EvaluatedModel,
  text: string,
  length: number,
  protocol: Protocol | undefined,
  maxTokens: number | undefined,
): Promise<TextWindows> {
  const { cutWindows } = await import('../../compressor/evaluate/windows.ts');
  if (!protocol) return cutWindows(tokenizer, text, length, maxTokens);
  const { cutStridedWindows } = await import('../../compressor/evaluate/strided-windows.ts');
  const { stride, bos } = protocol;
  return cutStridedWindows(tokenizer, text, {
    length,
    stride,
    bos: bos === 'each' ? 'each' : 'first',
    maxTokens,
  });
}
