import type { SpelledLogprob, TokenReport } from '../model/token-report.ts';

/** What JSON cannot say, -Infinity, is so unlikely in OpenAI's words. */
const leastLogprob = -9999;

/** OpenAI's form for POST /v1/completions. Each token is among its likeliest, also where it is none of them. */
export function completionLogprobs(reports: readonly TokenReport[]) {
  return {
    tokens: reports.map((report) => keyOf(report)),
    token_logprobs: reports.map(finite),
    top_logprobs: reports.map((report) => {
      if (report.logprob === null) return null;
      // Tokens may be spelled alike: the likeliest one counts, as it does for who reads the text.
      const likeliestLast = [report, ...report.top.toReversed()];
      return Object.fromEntries(likeliestLast.map((one) => [keyOf(one), finite(one)]));
    }),
    text_offset: reports.map(({ offset }) => offset),
  };
}

/** OpenAI's form for POST /v1/chat/completions. */
export function chatLogprobs(reports: readonly TokenReport[]) {
  const entry = (one: SpelledLogprob) => ({
    token: typeof one.token === 'string' ? one.token : escaped(one.token),
    logprob: finite(one),
    bytes: [...Buffer.from(one.token)],
  });
  return {
    content: reports.map((report) => ({ ...entry(report), top_logprobs: report.top.map(entry) })),
    refusal: null,
  };
}

function finite({ logprob }: SpelledLogprob): number | null {
  return logprob === null ? null : Math.max(logprob, leastLogprob);
}

/** A token without text of its own has its bytes for a name. */
function keyOf({ token }: SpelledLogprob): string {
  return typeof token === 'string' ? token : `bytes:${escaped(token)}`;
}

function escaped(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => `\\x${byte.toString(16).padStart(2, '0')}`).join('');
}
