import { Decoder } from '../../artifact/decoder/decoder.ts';
import { type CacheType, decoderOptions, graphOf } from '../../artifact/decoder/decoder-options.ts';
import { withResource } from '../../artifact/dispose.ts';
import type { Manifest } from '../../artifact/manifest.ts';
import type { LocalFoldedModel } from '../../artifact/models/open-local.ts';
import { parseTokenizer } from '../../artifact/tokenizer.ts';
import { betweenSteps } from '../forward/between-steps.ts';
import { CachedRun } from './cached-run.ts';
import {
  argmax,
  checkFinite,
  type EvaluatedModel,
  type Prediction,
  type Sequence,
} from './evaluated-model.ts';
import { evaluateFolded, lossOf } from './folded.ts';
import type { EvaluateOptions } from './student.ts';

/**
 * A folded model as it is served: its own graph, quantized weights and kernels.
 * @param kvCache what keys and values are kept in
 * @throws UsageError for an int8 cache of a model without scales for it
 */
export function foldedModel(
  { manifest, graphPath, tokenizerFiles }: LocalFoldedModel,
  kvCache: CacheType = 'float32',
): EvaluatedModel {
  const { bos, eos } = manifest.tokens;
  graphOf(manifest, kvCache); // tells of missing scales before anything is read
  const open = (capacity: number) => new Decoder(decoderOptions(manifest, graphPath, capacity, kvCache));
  return {
    name: manifest.name,
    tokenizer: parseTokenizer(tokenizerFiles, manifest.name),
    tokens: { bos, eos },
    contextLength: manifest.dimensions.contextLength,
    evaluate: (text, options) => evaluateFolded(graphPath, manifest, text, { ...options, kvCache }),
    predict: (sequences, options) => predict(open, manifest, sequences, options),
    continueGreedily: (prompts, count, options) => continueGreedily(open, manifest, prompts, count, options),
    close: async () => {},
  };
}

/** Opens the model for sequences of so many tokens. */
type Open = (capacity: number) => Decoder;

async function predict(
  open: Open,
  manifest: Manifest,
  sequences: readonly Sequence[],
  { signal, onProgress }: EvaluateOptions = {},
): Promise<Prediction[]> {
  const capacity = sequences.reduce((longest, { tokens }) => Math.max(longest, tokens.length), 0);
  const predictions: Prediction[] = [];
  await withResource(open(capacity), async (decoder) => {
    const cached = new CachedRun(decoder, manifest.dimensions.vocabularySize);
    for (const [i, { tokens, targets }] of sequences.entries()) {
      const losses = new Float64Array(targets.length);
      const likeliest = new Int32Array(targets.length);
      await cached.run(
        tokens,
        tokens.length - targets.length,
        (t, logits) => {
          losses[t] = lossOf(logits, targets[t]!);
          checkFinite(losses[t]!, manifest);
          likeliest[t] = argmax(logits);
        },
        signal,
      );
      predictions.push({ losses, likeliest });
      onProgress?.(i + 1, sequences.length);
    }
  });
  return predictions;
}

async function continueGreedily(
  open: Open,
  manifest: Manifest,
  prompts: readonly Int32Array[],
  count: number,
  { signal, onProgress }: EvaluateOptions = {},
): Promise<Int32Array[]> {
  const capacity = prompts.reduce((longest, { length }) => Math.max(longest, length), 0) + count;
  return withResource(open(capacity), async (decoder) => {
    const cache = decoder.newCache();
    const texts: Int32Array[] = [];
    for (const prompt of prompts) {
      cache.length = 0;
      const made: number[] = [];
      do {
        await betweenSteps(signal);
        const logits = made.length === 0 ? decoder.prompt(cache, prompt) : decoder.run(cache, made.slice(-1));
        const token = argmax(logits);
        checkFinite(logits[token]!, manifest);
        made.push(token);
        onProgress?.(texts.length * count + made.length, prompts.length * count);
      } while (made.length < count && !manifest.tokens.eos.includes(made.at(-1)!));
      texts.push(Int32Array.from(made));
    }
    return texts;
  });
}
