import { describe, expect, it } from 'vitest';
import type { GenerationChunk } from '../../../functions/engine/engine.ts';
import { CompletionText } from '../../../functions/model/completion-text.ts';
import type { TextDelta, TextRequest } from '../../../functions/model/generate.ts';
import type { LoadedModel } from '../../../functions/model/loaded-model.ts';
import type { TokenReport } from '../../../functions/model/token-report.ts';
import { tokenPieces } from '../../../functions/text/pieces.ts';
import { randomIntegers } from '../../fixtures/random.ts';
import { testTokenizer, tokenizerKinds } from '../../fixtures/text/tokenizers.ts';

const basic: TextRequest = {
  prompt: [],
  promptParam: 'prompt',
  echo: '',
  maxTokens: 100,
  sampling: { temperature: 1, topP: 1, topK: 0, minP: 0 },
  stop: [],
  ignoreEos: false,
  continues: true,
  stream: true,
};

describe.each(tokenizerKinds)('the text of a completion (%s)', async (kind) => {
  const tokenizer = await testTokenizer(kind);
  const model = { tokenizer, pieces: tokenPieces(tokenizer) } as LoadedModel;

  /** Delivered in chunks of the given lengths. A token's log probability is its place. */
  function complete(request: TextRequest, tokens: readonly number[], lengths: readonly number[]) {
    const completion = new CompletionText(model, request);
    const reports: TokenReport[] = [];
    let text = '';
    let at = 0;
    for (const length of [...lengths, Number.POSITIVE_INFINITY]) {
      const end = Math.min(at + length, tokens.length);
      const part = tokens.slice(at, end);
      const logprobs = part.map((_, i) => ({ logprob: -(at + i), top: [] }));
      const chunk: GenerationChunk = { tokens: part, ...(request.logprobs !== undefined && { logprobs }) };
      if (end === tokens.length) chunk.finish = 'length';
      const delta: TextDelta = completion.push(chunk);
      text += delta.text;
      reports.push(...(delta.logprobs ?? []));
      // Whatever is told of, its text has begun.
      const given = [...request.echo].length + [...text].length;
      if (!delta.finish) for (const { offset } of reports) expect(offset).toBeLessThan(given);
      if (delta.finish) return { text, reports, finish: delta.finish };
      at = end;
    }
    throw new Error('It did not end.');
  }

  it('is that of its tokens one after the other, where it is a text of its own too', () => {
    const text = 'one two  three four';
    const tokens = tokenizer.encode(text, { addSpecialTokens: false });
    const own = { ...basic, continues: false, logprobs: 0 };
    const { text: made, reports } = complete(own, tokens, [1, 1]);
    expect(made).toBe(text);
    expect(reports.map(({ token }) => token).join('')).toBe(text);
    expect(reports[0]!.offset).toBe(0);
  });

  it('and what is told of its tokens do not depend on how they come, and fit each other', () => {
    const random = randomIntegers(17);
    let [stopped, broken] = [0, 0];
    for (let round = 0; round < 1500; round++) {
      const tokens = Array.from({ length: 1 + random(20) }, () => random(tokenizer.size + 3));
      const whole = complete(basic, tokens, []).text;
      const characters = [...whole];
      if (whole.includes('\uFFFD')) broken++;
      const start = random(Math.max(1, characters.length));
      const stop = round % 3 === 0 ? [] : [characters.slice(start, start + 1 + random(4)).join('') || 'x'];
      const request = { ...basic, stop, logprobs: 0, echo: 'ab👩'.slice(0, random(2) * 4) };
      const before = [...request.echo].length;

      const one = complete(request, tokens, []);
      for (const most of [1, 3]) {
        const lengths = tokens.map(() => 1 + random(most));
        expect(complete(request, tokens, lengths)).toEqual(one);
      }
      const { logprobs: _, ...silent } = request;
      expect(complete(silent, tokens, [])).toEqual({ ...one, reports: [] });

      // Tokens are told of from the first on, in order.
      expect(one.reports.map(({ logprob }) => -logprob!)).toEqual([...one.reports.keys()]);
      let last = before;
      for (const [i, { token, offset }] of one.reports.entries()) {
        expect(offset).toBeGreaterThanOrEqual(last);
        last = offset;
        if (typeof token !== 'string' || tokenizer.addedKind(tokens[i]!) === 'special') continue;
        expect(characters.slice(offset - before, offset - before + [...token].length).join('')).toBe(token);
      }
      const length = [...one.text].length;
      if (one.finish === 'stop') {
        stopped++;
        expect(one.text).toBe(whole.slice(0, whole.indexOf(stop[0]!)));
        for (const { offset } of one.reports) expect(offset).toBeLessThan(before + length);
        // Nothing was left out whose text is in the answer.
        const left = complete({ ...basic, logprobs: 0 }, tokens, []).reports[one.reports.length];
        if (left) expect(left.offset).toBeGreaterThanOrEqual(length);
      } else expect(one.reports).toHaveLength(tokens.length);
    }
    expect(stopped).toBeGreaterThan(300);
    expect(broken).toBeGreaterThan(50);
  });
});
