import { Decoder } from '../../artifact/decoder/decoder.ts';
import { decoderOptions } from '../../artifact/decoder/decoder-options.ts';
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

/** A folded model as it is served: its own graph, quantized weights and kernels. */
export function foldedModel({ manifest, graphPath, tokenizerFiles }: LocalFoldedModel): EvaluatedModel {
  const { bos, eos } = manifest.tokens;
  return {
    name: manifest.name,
    tokenizer: parseTokenizer(tokenizerFiles, manifest.name),
    tokens: { bos, eos },
    contextLength: manifest.dimensions.contextLength,
    evaluate: (text, options) => evaluateFolded(graphPath, manifest, text, options),
    predict: (sequences, options) => predict(graphPath, manifest, sequences, options),
    continueGreedily: (prompts, count, options) =>
      continueGreedily(graphPath, manifest, prompts, count, options),
    close: async () => {},
  };
}

async function predict(
  graphPath: string,
  manifest: Manifest,
  sequences: readonly Sequence[],
  { signal, onProgress }: EvaluateOptions = {},
): Promise<Prediction[]> {
  const capacity = sequences.reduce((longest, { tokens }) => Math.max(longest, tokens.length), 0);
  const predictions: Prediction[] = [];
  await withResource(new Decoder(decoderOptions(manifest, graphPath, capacity)), async (decoder) => {
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
  graphPath: string,
  manifest: Manifest,
  prompts: readonly Int32Array[],
  count: number,
  { signal, onProgress }: EvaluateOptions = {},
): Promise<Int32Array[]> {
  const capacity = prompts.reduce((longest, { length }) => Math.max(longest, length), 0) + count;
  return withResource(new Decoder(decoderOptions(manifest, graphPath, capacity)), async (decoder) => {
    const cache = decoder.newCache();
    const texts: Int32Array[] = [];
    for (const prompt of prompts) {
      cache.length = 0;
      const made: number[] = [];
      let input: ArrayLike<number> = prompt;
      do {
        await betweenSteps(signal);
        const logits = decoder.run(cache, input);
        const token = argmax(logits);
        checkFinite(logits[token]!, manifest);
        made.push(token);
        input = [token];
        onProgress?.(texts.length * count + made.length, prompts.length * count);
      } while (made.length < count && !manifest.tokens.eos.includes(input[0]!));
      texts.push(Int32Array.from(made));
    }
    return texts;
  });
}
