import { UsageError } from '../../artifact/errors.ts';
import type { Agreement, Written } from '../../compressor/evaluate/agreement.ts';
import type { EvaluatedModel } from '../../compressor/evaluate/evaluated-model.ts';
import { repetitionOf, summaryOf } from '../../compressor/evaluate/repetition.ts';
import type { Progress } from '../progress.ts';
import type { Measurement } from './measurement.ts';
import { withModel } from './open-model.ts';
import { readPrompts } from './prompts.ts';

/** Tokens written for each prompt where the user names no number. */
export const defaultTokens = 64;

export interface GenerateFlags {
  /** True: the prompts of the program. */
  generate: string | true;
  tokens?: number;
  teacher?: string;
  json?: boolean;
}

export async function generate(flags: GenerateFlags): Promise<Measurement> {
  const prompts = await promptsOf(flags);
  return async (model, show, signal) => {
    const texts = await write(model, prompts, flags.tokens ?? defaultTokens, show, signal);
    const agreement =
      flags.teacher === undefined ? undefined : await compare(model, texts, flags.teacher, show, signal);
    return flags.json ? asJson(model, prompts, texts, agreement) : inWords(model, texts, agreement);
  };
}

async function promptsOf({ generate: path }: GenerateFlags): Promise<readonly string[]> {
  if (path !== true) return readPrompts(path);
  return (await import('../../compressor/evaluate/default-prompts.ts')).defaultPrompts;
}

async function write(
  model: EvaluatedModel,
  prompts: readonly string[],
  count: number,
  show: Progress,
  signal: AbortSignal,
): Promise<Written[]> {
  const { beginningOf } = await import('../../compressor/evaluate/beginning.ts');
  const beginning = beginningOf(model.tokenizer);
  const encoded = prompts.map((prompt, i) => {
    const tokens = [...beginning, ...model.tokenizer.encode(prompt, { addSpecialTokens: false })];
    if (tokens.length === 0)
      throw new UsageError(`Prompt ${i + 1} has no tokens in the vocabulary of ${model.name}.`);
    if (tokens.length + count > model.contextLength) {
      throw new UsageError(
        `Prompt ${i + 1} has ${tokens.length} tokens: with ${count} more it is beyond the context of ` +
          `${model.contextLength} tokens. Ask for fewer --tokens.`,
      );
    }
    return Int32Array.from(tokens);
  });
  const written = await model.continueGreedily(encoded, count, {
    onProgress: (done, total) => show.update('Writing', done, total),
    signal,
  });
  return encoded.map((prompt, i) => ({ prompt, tokens: written[i]! }));
}

async function compare(
  model: EvaluatedModel,
  texts: Written[],
  teacher: string,
  show: Progress,
  signal: AbortSignal,
): Promise<Agreement> {
  const { agreementWith } = await import('../../compressor/evaluate/agreement.ts');
  show.finish();
  return withModel(teacher, { signal }, (opened) =>
    agreementWith(opened, model, texts, {
      onProgress: (done, total) => show.update('Comparing with the teacher', done, total),
      signal,
    }),
  );
}

async function detokenizer({ tokenizer }: EvaluatedModel): Promise<(tokens: Int32Array) => string> {
  const { detokenize } = await import('../../functions/text/detokenizer.ts');
  const { tokenPieces } = await import('../../functions/text/pieces.ts');
  const pieces = tokenPieces(tokenizer);
  return (tokens) => detokenize(pieces, [...tokens]);
}

/** What a text says: the token that ends it is left out, though a teacher may disagree that it ends. */
function bodyOf({ tokens }: EvaluatedModel, text: Written): Int32Array {
  return tokens.eos.includes(text.tokens.at(-1)!) ? text.tokens.subarray(0, -1) : text.tokens;
}

async function asJson(
  model: EvaluatedModel,
  prompts: readonly string[],
  texts: Written[],
  agreement: Agreement | undefined,
): Promise<string> {
  const repetitions = texts.map((text) => repetitionOf(bodyOf(model, text)));
  const { distinct, repeated, loops } = summaryOf(repetitions);
  const { prefixes, ...shares } = agreement ?? {};
  const textOf = await detokenizer(model);
  return `${JSON.stringify({
    distinct1: distinct[0],
    distinct2: distinct[1],
    distinct3: distinct[2],
    repeated4: repeated,
    loops,
    ...(agreement && { agreement: shares }),
    tokens: tokensOf(texts),
    texts: texts.map((text, i) => ({
      prompt: prompts[i],
      text: textOf(bodyOf(model, text)),
      tokens: text.tokens.length,
      repeated4: repetitions[i]!.repeated,
      loops: repetitions[i]!.loops,
      ...(prefixes && { prefix: prefixes[i] }),
    })),
  })}\n`;
}

function inWords(model: EvaluatedModel, texts: Written[], agreement: Agreement | undefined): string {
  const percent = (share: number) => `${(100 * share).toFixed(1)}%`;
  const { distinct, repeated, loops } = summaryOf(texts.map((text) => repetitionOf(bodyOf(model, text))));
  const lines = [
    `${texts.length} texts, ${tokensOf(texts)} tokens, each the likeliest`,
    `distinct runs of 1, 2 and 3 tokens: ${distinct.map(percent).join(', ')}`,
    `runs of 4 tokens seen before: ${percent(repeated)}; texts that end in a loop: ${Math.round(loops * texts.length)}`,
  ];
  if (agreement) {
    lines.push(
      `until the first difference from the teacher: ${agreement.meanPrefix.toFixed(1)} tokens a text, ${percent(agreement.prefixShare)} of all`,
      `the teacher's next token, after the same text: ${percent(agreement.nextToken)}`,
    );
  }
  return `${lines.join('\n')}\n`;
}

function tokensOf(texts: Written[]): number {
  return texts.reduce((sum, { tokens }) => sum + tokens.length, 0);
}
