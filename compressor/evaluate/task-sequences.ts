import { InvalidDataError } from '../../artifact/errors.ts';
import type { Tokenizer } from '../../artifact/tokenizer.ts';
import { beginningOf } from './beginning.ts';
import type { EvaluatedModel, Sequence } from './evaluated-model.ts';

/** A sequence whose targets are a continuation's tokens. */
export interface EncodedPair extends Sequence {
  /** Tokens dropped from the context's start, for the whole to fit the model. */
  dropped: number;
}

/** How contexts and continuations become sequences; the rules are those of the evaluation harness. */
export interface PairEncoder {
  /** @param where names the item in errors */
  encode(context: string, continuation: string, where: string): EncodedPair;
}

/**
 * @param delimiter stands between context and continuation; undefined: a space, where neither has white
 * space there
 */
export function pairEncoder(
  {
    tokenizer,
    tokens,
    contextLength,
    name,
  }: Pick<EvaluatedModel, 'tokenizer' | 'tokens' | 'contextLength' | 'name'>,
  delimiter?: string,
): PairEncoder {
  const beginning = beginningOf(tokenizer);
  // Something must come before the first token for it to be predicted.
  const prefix =
    beginning.length > 0 ? beginning : [tokens.bos ?? tokens.eos[0]].filter((id) => id !== undefined);
  return {
    encode(context, continuation, where) {
      const pair = split(tokenizer, context + delimiterOf(context, continuation, delimiter), continuation);
      if (pair.continuation.length === 0) {
        throw new InvalidDataError(
          `${where}: the continuation ${JSON.stringify(continuation)} has no token of its own after its context.`,
        );
      }
      const before = pair.context.length > 0 ? [...beginning, ...pair.context] : prefix;
      if (before.length === 0) {
        throw new InvalidDataError(
          `${where}: the context is empty, and ${name} has no token that begins a text. Give it a context.`,
        );
      }
      if (pair.continuation.length > contextLength) {
        throw new InvalidDataError(
          `${where}: a continuation has ${pair.continuation.length} tokens, and ${name} sees ${contextLength} at once. Leave the item out.`,
        );
      }
      // The last token predicts nothing.
      const whole = [...before, ...pair.continuation].slice(0, -1);
      const dropped = Math.max(0, whole.length - contextLength);
      return {
        tokens: Int32Array.from(whole.slice(dropped)),
        targets: Int32Array.from(pair.continuation),
        dropped,
      };
    },
  };
}

function delimiterOf(context: string, continuation: string, delimiter: string | undefined): string {
  if (delimiter !== undefined) return delimiter;
  return context === '' || /\s$/.test(context) || /^\s/.test(continuation) ? '' : ' ';
}

/**
 * Both are encoded as one text and split where the context alone would end: its last token may be another than
 * in the whole. White space between them goes to the continuation, since words begin with their space.
 */
function split(
  tokenizer: Tokenizer,
  context: string,
  continuation: string,
): { context: number[]; continuation: number[] } {
  const bare = context.trimEnd();
  const encode = (text: string) => tokenizer.encode(text, { addSpecialTokens: false });
  const length = bare === '' ? 0 : encode(bare).length;
  const whole = encode(context + continuation);
  return { context: whole.slice(0, length), continuation: whole.slice(length) };
}
