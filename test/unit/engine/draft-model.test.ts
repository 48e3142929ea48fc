import { afterEach, describe, expect, it, vi } from 'vitest';
import { promptChunk } from '../../../artifact/decoder/decoder-options.ts';
import { DraftLength, StepCosts } from '../../../functions/engine/speculation/draft-length.ts';
import { DraftModel } from '../../../functions/engine/speculation/draft-model.ts';
import { modelTime } from '../../fixtures/model-time.ts';
import { range, request, startScheduler } from '../../fixtures/scheduled.ts';
import { ScriptedRows } from '../../fixtures/scripted-rows.ts';

const vocabularySize = 1000;

/** A text that never repeats two tokens: nothing can be guessed from itself. */
const step = (token: number) => (token * 7 + 3) % 997;

afterEach(() => vi.restoreAllMocks());

/** A scheduler whose model says `step`, with one that drafts in a fifth of the time. */
function drafting(
  next: (token: number) => number = step,
  capacity = 4096,
  onFailure?: (error: Error) => void,
) {
  const draft = new ScriptedRows(vocabularySize, 1);
  draft.next = next;
  const time = modelTime();
  time.take(draft, (tokens) => 2 + 0.2 * (tokens - 1));
  const started = startScheduler(3, 0, { draft: new DraftModel(draft, capacity, onFailure) });
  started.model.next = step;
  time.take(started.model, (tokens) => 10 + tokens - 1);
  return { ...started, draft };
}

function textOf(start: number, count: number): number[] {
  const text: number[] = [];
  for (let token = step(start); text.length < count; token = step(token)) text.push(token);
  return text;
}

describe('a sequence that another model drafts for', () => {
  it('has its own text in fewer steps, where the other says the same', async () => {
    const { scheduler, model, draft, ended, tokens } = drafting();
    scheduler.add(1, request([5, 1], { maxTokens: 120 }));
    await ended(1);
    expect(tokens(1)).toEqual(textOf(1, 120));
    expect(model.calls.length).toBeLessThan(80);
    const { drafts, tokens: guessed, accepted } = scheduler.stats.speculation.draft_model;
    expect(drafts).toBeGreaterThan(15);
    expect(accepted).toBe(guessed);
    expect(accepted + model.calls.length).toBe(120);
    expect(draft.contents[0]!.slice(2)).toEqual(textOf(1, draft.contents[0]!.length - 2));
  });

  it('has its own text where the other is always wrong, which is soon asked no more', async () => {
    const { scheduler, model, draft, ended, tokens } = drafting((token) => (token * 5 + 1) % 997);
    scheduler.add(1, request([5, 1], { maxTokens: 900 }));
    await ended(1);
    expect(tokens(1)).toEqual(textOf(1, 900));
    expect(model.calls.length).toBeGreaterThan(895);
    const { drafts, accepted } = scheduler.stats.speculation.draft_model;
    expect(accepted).toBeLessThan(3); // two lines cross somewhere
    expect(drafts).toBeLessThan(20);
    // In the last half of the text, trials alone, further and further apart.
    const late = draft.calls.filter(({ lengths }) => lengths[0]! > 450);
    expect(late.length).toBeLessThan(8);
  });

  it('has its own text where the other is right at times, whatever was taken back', async () => {
    const { scheduler, draft, ended, tokens } = drafting((token) => (token % 5 === 0 ? 0 : step(token)));
    scheduler.add(1, request([5, 1], { maxTokens: 300 }));
    await ended(1);
    expect(tokens(1)).toEqual(textOf(1, 300));
    const { tokens: guessed, accepted } = scheduler.stats.speculation.draft_model;
    expect(accepted).toBeGreaterThan(0);
    expect(accepted).toBeLessThan(guessed);
    // What each guess was made after is the text itself.
    const text = [5, 1, ...textOf(1, 300)];
    let held: number[] = [];
    for (const { lengths, tokens } of draft.calls) {
      held = [...held.slice(0, lengths[0]), ...tokens[0]!];
      const wrong = held.findIndex((token, i) => token !== text[i]);
      // A guess after a wrong one is of its own making.
      if (wrong >= 0) expect(wrong).toBeGreaterThan(held.length - 8);
    }
  });

  it('is read up chunk by chunk beside its own steps', async () => {
    const { scheduler, draft, ended, tokens } = drafting();
    scheduler.add(0, request([7, 2], { maxTokens: 200 })); // shows that it pays
    await ended(0);
    draft.calls.length = 0;
    const prompt = [...textOf(2, 2.5 * promptChunk), 1];
    scheduler.add(1, request(prompt, { maxTokens: 400 }));
    await ended(1);
    expect(tokens(1)).toEqual(textOf(1, 400));
    const reading = draft.calls.filter(({ tokens }) => tokens[0]!.length > 8);
    expect(reading.map(({ lengths }) => lengths[0])).toEqual([0, 128, 256]);
    expect(scheduler.stats.speculation.draft_model.accepted).toBeGreaterThan(50);
  });

  it('is not read up for the sake of a few tokens', async () => {
    const { scheduler, draft, ended } = drafting();
    scheduler.add(1, request([...textOf(2, 900), 1], { maxTokens: 10 }));
    await ended(1);
    expect(draft.calls).toEqual([]);
  });

  it('goes on alone while others run, and with the draft after that', async () => {
    const { scheduler, model, draft, ended, events, of, tokens } = drafting();
    scheduler.add(1, request([5, 1], { maxTokens: 200 }));
    events.chunk = (id) => {
      if (id === 1 && tokens(1).length === 50) scheduler.add(2, request([9, 2], { maxTokens: 20 }));
      if (id !== 2) return;
      if (of(2).chunks.length === 1) asked = draft.calls.length;
      if (of(2).chunks.at(-1)!.finish) expect(draft.calls.length).toBe(asked);
    };
    let asked = 0;
    await ended(1, 2);
    expect(tokens(1)).toEqual(textOf(1, 200));
    expect(tokens(2)).toEqual(textOf(2, 20));
    expect(draft.calls.length).toBeGreaterThan(asked);
    expect(model.calls.some(({ rows }) => rows.length === 2)).toBe(true);
  });

  it('has its own text among several of one prompt', async () => {
    const { scheduler, draft, ended, tokens } = drafting();
    const counts = [40, 60, 150];
    for (const [id, maxTokens] of counts.entries()) scheduler.add(id, request([5, 6, 1], { maxTokens }));
    await ended(0, 1, 2);
    expect([0, 1, 2].map(tokens)).toEqual(counts.map((count) => textOf(1, count)));
    expect(draft.calls.length).toBeGreaterThan(0);
    // Only the last one was alone.
    const first = draft.calls[0]!;
    expect(first.lengths[0]! + first.tokens[0]!.length).toBeGreaterThanOrEqual(3 + 60);
  });

  it('ends where it has to, or is cancelled, and the next one begins anew', async () => {
    const { scheduler, draft, ended, events, of, tokens } = drafting();
    const text = textOf(1, 200);
    scheduler.add(1, request([5, 1], { maxTokens: 100, stopTokens: [text[60]!] }));
    await ended(1);
    expect(tokens(1)).toEqual(text.slice(0, 60));
    events.chunk = (id) => {
      if (id === 2 && tokens(2).length === 30) scheduler.cancel(2);
    };
    scheduler.add(2, request([6, 1], { maxTokens: 100 }));
    scheduler.add(3, request([7, 1], { maxTokens: 50 }));
    await ended(3);
    expect(tokens(2)).toEqual(text.slice(0, 30));
    expect(tokens(3)).toEqual(text.slice(0, 50));
    expect(of(2).error).toBeUndefined();
    expect(draft.contents[0]!.slice(0, 2)).toEqual([7, 1]);
  });

  it('goes on without the other where that fails, and asks it no more', async () => {
    const failures: string[] = [];
    const { scheduler, draft, ended, of, tokens } = drafting(step, 4096, (error) =>
      failures.push(error.message),
    );
    draft.before = ({ lengths }) => {
      if (lengths[0]! > 40) throw new Error('no memory');
    };
    scheduler.add(1, request([5, 1], { maxTokens: 100 }));
    await ended(1);
    scheduler.add(2, request([5, 1], { maxTokens: 100 }));
    await ended(2);
    expect([tokens(1), tokens(2)]).toEqual([textOf(1, 100), textOf(1, 100)]);
    expect(of(1).error).toBeUndefined();
    expect(failures).toEqual(['no memory']);
  });

  it('gets no guesses beyond the context of the other', async () => {
    const { scheduler, draft, ended, tokens } = drafting(step, 40);
    scheduler.add(1, request([5, 1], { maxTokens: 100 }));
    await ended(1);
    expect(tokens(1)).toEqual(textOf(1, 100));
    const most = Math.max(...draft.calls.map(({ lengths, tokens }) => lengths[0]! + tokens[0]!.length));
    expect(most).toBeLessThanOrEqual(40);
    expect(most).toBeGreaterThan(36);
  });

  it("begins with what the other has read of a text alike, unless it is another salt's", async () => {
    const { scheduler, draft, ended } = drafting();
    const prompt = [...textOf(2, 100), 1];
    scheduler.add(1, request(prompt, { maxTokens: 100, cacheSalt: 'a' }));
    await ended(1);
    const read = (from: number) => draft.calls.slice(from).filter(({ tokens }) => tokens[0]!.length > 8);
    expect(read(0)).toHaveLength(1);
    let before = draft.calls.length;
    scheduler.add(2, request(prompt, { maxTokens: 100, cacheSalt: 'a' }));
    await ended(2);
    expect(draft.calls.length).toBeGreaterThan(before);
    expect(read(before)).toEqual([]);
    before = draft.calls.length;
    scheduler.add(3, request(prompt, { maxTokens: 100, cacheSalt: 'b' }));
    await ended(3);
    expect(read(before)).toHaveLength(1);
  });
});

describe('how many tokens a model drafts', () => {
  const costs = new StepCosts();
  for (let rows = 1; rows <= 8; rows++) {
    for (let times = 0; times < 5; times++) costs.measured(rows, 10 * (1 + 0.1 * (rows - 1)));
  }
  const choice = (acceptance: number, cost: number) =>
    new DraftLength(costs, { acceptance, cost: () => cost })
      .choose()
      .find(({ source }) => source === 'model');

  it('is what makes the most tokens a second', () => {
    // The best of all lengths, by trying each.
    for (const [acceptance, cost] of [
      [0.9, 0.1],
      [0.7, 0.3],
      [0.95, 0.4],
    ] as const) {
      const gains = range(1, 7).map((k) => {
        const expected = (1 - acceptance ** (k + 1)) / (1 - acceptance);
        return expected / (1 + 0.1 * k + cost * k);
      });
      const { tokens, gain } = choice(acceptance, cost)!;
      expect(gain).toBeCloseTo(Math.max(...gains), 10);
      expect(tokens).toBe(gains.indexOf(Math.max(...gains)) + 1);
    }
  });

  it('is none before it is known what the other model takes', () => {
    const model = { acceptance: 0.9, cost: () => 0.1 };
    const fresh = new StepCosts();
    const choose = () => new DraftLength(fresh, model).choose().map(({ source }) => source);
    for (let steps = 0; steps < 4; steps++) {
      expect(choose()).not.toContain('model');
      fresh.measured(1, 10);
    }
    expect(choose()).toContain('model');
  });

  it('is none where that is no gain', () => {
    expect(choice(0.7, 0.9)).toBeUndefined();
    expect(choice(0.1, 0.1)).toBeUndefined();
  });
});
