import type { Tokenizer } from '../../artifact/tokenizer.ts';
import { tokensAround } from '../../artifact/tokens-around.ts';
import type { LoadedModel } from './loaded-model.ts';
import { encodeText } from './prompt.ts';
import { PromptError } from './prompt-error.ts';

/** The control tokens by which models were taught to fill in what stands between two texts. */
interface Style {
  /** Comes before the text that goes before. */
  prefix: string;
  /** Comes before the text that follows. */
  suffix: string;
  /** Comes before the text asked for. */
  middle: string;
  /** End the text asked for, beside what ends every text; a model may have some of them. */
  ends: readonly string[];
}

const styles: readonly Style[] = [
  {
    // Qwen2.5-Coder, CodeGemma. Chat models of Qwen end answers otherwise than texts.
    prefix: '<|fim_prefix|>',
    suffix: '<|fim_suffix|>',
    middle: '<|fim_middle|>',
    ends: ['<|endoftext|>', '<|fim_pad|>', '<|repo_name|>', '<|file_sep|>', '<|file_separator|>'],
  },
  {
    // StarCoder, Granite.
    prefix: '<fim_prefix>',
    suffix: '<fim_suffix>',
    middle: '<fim_middle>',
    ends: ['<|endoftext|>', '<fim_pad>', '<file_sep>', '<repo_name>'],
  },
  // SantaCoder, StableCode.
  {
    prefix: '<fim-prefix>',
    suffix: '<fim-suffix>',
    middle: '<fim-middle>',
    ends: ['<|endoftext|>', '<fim-pad>'],
  },
  { prefix: '▁<PRE>', suffix: '▁<SUF>', middle: '▁<MID>', ends: ['▁<EOT>'] }, // Code Llama
  { prefix: '<｜fim▁begin｜>', suffix: '<｜fim▁hole｜>', middle: '<｜fim▁end｜>', ends: [] }, // DeepSeek
];

export interface FillInMiddle {
  /** The prompt after which the model writes what goes between. */
  tokens: number[];
  /** Control tokens that end it, beside the model's own. */
  ends: number[];
}

/**
 * A prompt that asks for the text between two others, in the order prefix, suffix, middle.
 * @param prompt the prefix, as text or tokens
 * @throws PromptError where the model has no tokens for it, or a text alone fills the context
 */
export async function fillInMiddle(
  model: LoadedModel,
  prompt: string | readonly number[],
  suffix: string,
): Promise<FillInMiddle> {
  const { tokenizer } = model;
  const tokens = styles.map((style) => tokensOf(tokenizer, style)).find((found) => found !== undefined);
  if (!tokens) {
    const message =
      `Model ${model.name} cannot write what comes before a suffix: it has no tokens to ask for that, such as ` +
      `${styles[0]!.middle}. Leave suffix out.`;
    throw new PromptError(message, 'suffix_not_supported', 'suffix');
  }
  const { before } = tokensAround(tokenizer);
  const prefix =
    typeof prompt === 'string'
      ? await encodeText(model, prompt, { param: 'prompt', addSpecialTokens: false })
      : withoutBeginning(prompt, before);
  const middle = await encodeInside(model, suffix);
  return {
    tokens: [...before, tokens.prefix, ...prefix, tokens.suffix, ...middle, tokens.middle],
    ends: tokens.ends,
  };
}

function tokensOf(tokenizer: Tokenizer, style: Style) {
  const [prefix, suffix, middle] = [style.prefix, style.suffix, style.middle].map((token) =>
    tokenizer.idOf(token),
  );
  if (prefix === undefined || suffix === undefined || middle === undefined) return undefined;
  const ends = style.ends.map((token) => tokenizer.idOf(token)).filter((id) => id !== undefined);
  return { prefix, suffix, middle, ends };
}

/** The suffix goes on from what will be written: SentencePiece should not put a space before it. */
async function encodeInside(model: LoadedModel, suffix: string): Promise<number[]> {
  const options = { param: 'suffix', addSpecialTokens: false };
  if (model.pieces.leadingSpaces === 0) return await encodeText(model, suffix, options);
  const mark = '☺'; // Code Llama's own way: a character that joins no other in a token
  const marked = await encodeText(model, mark + suffix, options);
  return marked.slice(model.tokenizer.encode(mark, { addSpecialTokens: false }).length);
}

function withoutBeginning(prompt: readonly number[], beginning: readonly number[]): readonly number[] {
  return beginning.every((token, i) => prompt[i] === token) ? prompt.slice(beginning.length) : prompt;
}
