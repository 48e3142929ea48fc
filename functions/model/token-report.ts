import type { TokenLogprobs } from '../engine/engine.ts';
import type { Placed } from '../text/reported-tokens.ts';
import { spellToken } from '../text/spell.ts';
import type { LoadedModel } from './loaded-model.ts';

/** A token and what the model thought of it before it was taken. */
export interface SpelledLogprob {
  /** Its text, control tokens as they are spelled; bytes where it holds a part of a character. */
  token: string | Uint8Array;
  /** Natural. Null where there was nothing before the token. */
  logprob: number | null;
}

export interface TokenReport extends SpelledLogprob {
  /** The likeliest ones in its place, likeliest first; as many as the request asks for. */
  top: SpelledLogprob[];
  /** Characters (code points) of the whole text before the token's. */
  offset: number;
}

export function reportToken(
  model: LoadedModel,
  id: number,
  logprobs: TokenLogprobs | undefined,
  { offset, shortened }: Pick<Placed<unknown>, 'offset' | 'shortened'>,
): TokenReport {
  const top = logprobs?.top ?? [];
  return {
    token: shortened ?? spellToken(model, id),
    logprob: logprobs?.logprob ?? null,
    top: top.map(({ token, logprob }) => ({ token: spellToken(model, token), logprob })),
    offset,
  };
}
