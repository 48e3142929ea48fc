import type { TokenLogprobs } from '../engine/engine.ts';
import { Detokenizer } from '../text/detokenizer.ts';
import type { TokenPieces } from '../text/pieces.ts';
import { ReportedTokens } from '../text/reported-tokens.ts';
import type { LoadedModel } from './loaded-model.ts';
import { reportToken, type TokenReport } from './token-report.ts';

/**
 * What is to be told of a prompt's tokens, placed in its text. The first one has no log probability: there was
 * nothing before it.
 * @param text of the prompt; control tokens are in it where it was written with them, as those that the tokenizer
 * puts around a text are not
 * @param logprobs one for each token but the first
 */
export function reportPrompt(
  model: LoadedModel,
  prompt: readonly number[],
  text: string,
  logprobs: readonly TokenLogprobs[],
): TokenReport[] {
  let length = 0;
  const pieces: TokenPieces = {
    leadingSpaces: model.pieces.leadingSpaces,
    of(id) {
      if (model.tokenizer.addedKind(id) !== 'special') return model.pieces.of(id);
      const spelled = model.tokenizer.tokenOf(id)!;
      return text.startsWith(spelled, length) ? spelled : '';
    },
  };
  const detokenizer = new Detokenizer(pieces, { continues: false });
  const reported = new ReportedTokens<TokenLogprobs | undefined>(pieces, 0);
  for (const [i, id] of prompt.entries()) {
    const made = detokenizer.push([id]);
    reported.add(id, made, logprobs[i - 1]);
    length += made.length;
  }
  return reported.end().map(({ report, ...place }, i) => reportToken(model, prompt[i]!, report, place));
}
