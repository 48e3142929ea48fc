import { describe, expect, it } from 'vitest';
import { DraftLength, maxDraft, StepCosts } from '../../../functions/engine/speculation/draft-length.ts';
import { PromptLookup } from '../../../functions/engine/speculation/prompt-lookup.ts';
import { range, request, startScheduler } from '../../fixtures/scheduled.ts';

describe('what a prompt lookup guesses', () => {
  const lookup = (tokens: number[]) => new PromptLookup(tokens);

  it('is what followed the last tokens before', () => {
    const text = [1, 2, 3, 4, 5, 9, 2, 3];
    expect(lookup(text).draft(2, 3)).toEqual([4, 5, 9]);
    expect(lookup(text).draft(3, 3)).toBeUndefined();
    expect(lookup([7, ...text.slice(0, 6), 1, 2, 3]).draft(3, 2)).toEqual([4, 5]);
  });

  it('is what followed them last', () => {
    expect(lookup([1, 2, 7, 1, 2, 8, 1, 2]).draft(2, 1)).toEqual([8]);
  });

  it('may reach into the repetition itself', () => {
    expect(lookup([5, 5, 5, 5]).draft(3, 4)).toEqual([5]);
    expect(lookup([1, 2, 1, 2, 1, 2]).draft(2, 9)).toEqual([1, 2]);
  });

  it('grows with the text', () => {
    const growing = lookup([1, 2, 3]);
    expect(growing.draft(2, 3)).toBeUndefined();
    growing.add(1);
    growing.add(2);
    expect(growing.draft(2, 3)).toEqual([3, 1, 2]);
  });

  it('tells large token ids apart', () => {
    const large = [262_000, 261_999, 1, 262_000, 261_999];
    expect(lookup(large).draft(2, 1)).toEqual([1]);
    expect(lookup([262_000, 261_998, 1, 262_000, 261_999]).draft(2, 1)).toBeUndefined();
  });

  it('is nothing for a text of a token or two', () => {
    for (const text of [[], [1], [1, 2]]) {
      expect(lookup(text).draft(3, 3)).toBeUndefined();
      expect(lookup(text).draft(2, 3)).toBeUndefined();
    }
  });
});

describe('how many tokens are guessed', () => {
  const costs = (perRow: number) => {
    const made = new StepCosts();
    for (let rows = 1; rows <= maxDraft + 1; rows++) made.measured(rows, 10 * (1 + perRow * (rows - 1)));
    return made;
  };
  const guesses = (perRow: number, outcomes: [guessed: number, accepted: number][]) => {
    const length = new DraftLength(costs(perRow));
    for (const [guessed, accepted] of outcomes) length.seen(3, guessed, accepted);
    return length.choose().find(({ source }) => source === 3)?.tokens ?? 0;
  };

  it('follows what rows cost', () => {
    expect(guesses(0, [])).toBe(maxDraft); // further rows are free
    expect(guesses(1, [])).toBe(0); // as dear as a step each
    expect(guesses(0.25, [])).toBeGreaterThan(0);
  });

  it('follows how often guesses come true', () => {
    const good = guesses(0.3, Array(40).fill([3, 3]));
    const bad = guesses(0.3, Array(40).fill([3, 0]));
    expect(good).toBeGreaterThan(guesses(0.3, []));
    expect(bad).toBe(0);
  });

  it('does not waver: the same text is guessed at in the same way again', () => {
    const made = costs(0.3);
    for (let i = 0; i < 50; i++) made.measured(2, 13);
    for (let i = 0; i < 50; i++) made.measured(2, 1000);
    expect(made.relative(2)).toBeCloseTo(1.3, 1);
  });

  it('is tried again from time to time', () => {
    const length = new DraftLength(costs(0.3));
    for (let i = 0; i < 40; i++) for (const match of [3, 2] as const) length.seen(match, 1, 0);
    const tried = Array.from({ length: 100 }, () => length.choose().length > 0);
    expect(tried.filter(Boolean).length).toBe(4);
  });
});

describe('a lone sequence', () => {
  it('has the text that it has without guesses, in fewer steps', async () => {
    const cycle = { next: (token: number) => (token % 50 === 49 ? token - 49 : token + 1) };
    const run = async (speculation: boolean) => {
      const { scheduler, model, ended, tokens } = startScheduler(2, 0, { speculation });
      model.next = cycle.next;
      scheduler.add(1, request(range(100, 30), { maxTokens: 200 }));
      await ended(1);
      return { text: tokens(1), calls: model.calls.length };
    };
    const [plain, guessed] = [await run(false), await run(true)];
    expect(guessed.text).toEqual(plain.text);
    expect(plain.calls).toBe(200);
    // The first time round there is nothing to go by.
    expect(guessed.calls).toBeLessThan(130);
  });

  it('goes on rightly after wrong guesses', async () => {
    const { scheduler, model, ended, tokens } = startScheduler(1, 10_000);
    // 7 and 8 are followed by 9 in the prompt, but not by this model.
    const wrong = [5, 7, 8, 9, 9, 9, 6, 7];
    scheduler.add(1, request([...wrong, ...wrong, ...wrong], { maxTokens: 6 }));
    await ended(1);
    expect(model.calls.some((call) => call.tokens[0]!.length > 1 && call.lengths[0]! > 0)).toBe(true);
    expect(tokens(1)).toEqual([8, 9, 10, 11, 12, 13]);
    // What is kept of it has no wrong guess in it.
    scheduler.add(2, request([...wrong, ...wrong, ...wrong, 8, 9, 10, 11, 12, 13, 500], { maxTokens: 1 }));
    await ended(2);
    expect(tokens(2)).toEqual([501]);
    expect(model.restored).toEqual([28]);
  });

  it('ends within a guess where it has to', async () => {
    const text = range(100, 40);
    for (const end of [{ maxTokens: 5 }, { stopTokens: [115], maxTokens: 50 }]) {
      const { scheduler, ended, of, tokens } = startScheduler(1);
      scheduler.add(1, request([...text, ...range(100, 10)], end));
      await ended(1);
      expect(tokens(1)).toEqual(range(110, 5));
      expect(of(1).chunks.at(-1)!.finish).toBe('stopTokens' in end ? 'stop' : 'length');
    }
  });

  it('takes no more turns where it is cancelled within a guess', async () => {
    const { scheduler, events, ended, of } = startScheduler(1);
    events.chunk = (id) => {
      if (of(id).chunks.length === 3) scheduler.cancel(id);
    };
    scheduler.add(1, request([...range(100, 40), ...range(100, 10)], { maxTokens: 20 }));
    scheduler.add(2, request([500]));
    await ended(2);
    expect(of(1).chunks.flatMap((chunk) => chunk.tokens)).toEqual(range(110, 3));
  });
});
