import { describe, expect, it } from 'vitest';
import { range, request, startScheduler } from '../../fixtures/scheduled.ts';

type Started = ReturnType<typeof startScheduler>;

/** Tokens that the scripted model keeps in so many bytes. */
const room = (tokens: number) => tokens * 10;

describe('a prompt that begins like a past sequence', () => {
  it('is read from where they part', async () => {
    const { scheduler, model, ended, of, tokens } = startScheduler(1, room(1000));
    scheduler.add(1, request(range(0, 300)));
    await ended(1);
    model.calls.length = 0;
    scheduler.add(2, request([...range(0, 200), ...range(500, 30)]));
    await ended(2);
    expect(model.calls[0]).toEqual({ rows: [0], lengths: [200], tokens: [range(500, 30)] });
    expect(of(2).chunks.at(-1)!.cachedTokens).toBe(200);
    expect(tokens(2)).toEqual([530, 531, 532]);
  });

  it('is read from the end of that one where it goes on from its completion', async () => {
    const { scheduler, model, ended, of } = startScheduler(1, room(1000));
    scheduler.add(1, request(range(0, 100)));
    await ended(1);
    model.calls.length = 0;
    scheduler.add(2, request([...range(0, 103), 700, 701, 702]));
    await ended(2);
    // The last token made was never read.
    expect(model.calls[0]).toEqual({ rows: [0], lengths: [102], tokens: [[102, 700, 701, 702]] });
    expect(of(2).chunks.at(-1)!.cachedTokens).toBe(102);
    // What the longer one keeps serves all that the shorter one did.
    expect(model.snapshots).toBe(1);
  });

  it('still has its last token read, whose logits are wanted', async () => {
    const { scheduler, model, ended, tokens } = startScheduler(1, room(1000));
    for (const id of [1, 2]) {
      scheduler.add(id, request(range(0, 100)));
      await ended(id);
    }
    expect(model.calls.at(-3)).toEqual({ rows: [0], lengths: [98], tokens: [[98, 99]] });
    expect(tokens(2)).toEqual(tokens(1));
  });

  it('is read two tokens at a time, as it would be alone: single rows round otherwise', async () => {
    const reads = async (known: number, prompt: number) => {
      const { scheduler, model, ended } = startScheduler(1, room(1000));
      if (known > 0) {
        scheduler.add(1, request([...range(0, known), 900, 901, 902, 903], { maxTokens: 1 }));
        await ended(1);
      }
      model.calls.length = 0;
      scheduler.add(2, request(range(0, prompt), { maxTokens: 1 }));
      await ended(2);
      return model.calls.map(({ lengths, tokens }) => [lengths[0], tokens[0]!.length]);
    };
    expect(await reads(0, 101)).toEqual([
      [0, 100],
      [100, 1],
    ]);
    expect(await reads(101, 101)).toEqual([[100, 1]]);
    expect(await reads(51, 101)).toEqual([
      [50, 50],
      [100, 1],
    ]);
    expect(await reads(0, 100)).toEqual([[0, 100]]);
    expect(await reads(100, 100)).toEqual([[98, 2]]);
  });

  it('is not worth looking at where they have a few tokens in common', async () => {
    const { scheduler, model, ended, of } = startScheduler(1, room(1000));
    scheduler.add(1, request(range(0, 100)));
    await ended(1);
    scheduler.add(2, request([...range(0, 15), ...range(500, 15)]));
    await ended(2);
    expect(model.restored).toEqual([]);
    expect(of(2).chunks.at(-1)!.cachedTokens).toBeUndefined();
  });

  it('learns nothing from sequences of another salt', async () => {
    const { scheduler, model, ended } = startScheduler(2, room(1000));
    scheduler.add(1, request(range(0, 100), { cacheSalt: 'one' }));
    await ended(1);
    scheduler.add(2, request(range(0, 100), { cacheSalt: 'other' }));
    scheduler.add(3, request(range(0, 100)));
    await ended(2, 3);
    expect([...model.restored, ...model.copies]).toEqual([]);
    scheduler.add(4, request(range(0, 100), { cacheSalt: 'one' }));
    await ended(4);
    expect(model.restored).toEqual([98]);
  });

  it('is read whole where the cache has no room', async () => {
    const { scheduler, model, ended } = startScheduler(1, 0);
    for (const id of [1, 2]) {
      scheduler.add(id, request(range(0, 100)));
      await ended(id);
    }
    expect(model.calls.filter((call) => call.tokens[0]!.length === 100)).toHaveLength(2);
    expect(model.snapshots).toBe(0);
  });
});

describe('the budget of past sequences', () => {
  it('is kept by dropping the least recently used', async () => {
    const { scheduler, model, ended } = startScheduler(1, room(250));
    const prompts = [range(0, 98), range(200, 98), range(400, 98)];
    const run = async (id: number, prompt: number[]) => {
      model.restored.length = 0;
      scheduler.add(id, request(prompt));
      await ended(id);
      return model.restored.length > 0;
    };
    await run(1, prompts[0]!);
    await run(2, prompts[1]!);
    expect(await run(3, prompts[0]!)).toBe(true);
    await run(4, prompts[2]!); // 100 tokens each: the second has to go
    expect(model.snapshots).toBe(2);
    expect(await run(5, prompts[0]!)).toBe(true);
    expect(await run(6, prompts[1]!)).toBe(false);
  });

  it('does not hold a sequence that is larger', async () => {
    const { scheduler, model, ended } = startScheduler(1, room(250));
    scheduler.add(1, request(range(0, 100)));
    scheduler.add(2, request(range(300, 400)));
    await ended(1, 2);
    expect(model.snapshots).toBe(1);
  });
});

describe('keys and values that were computed before', () => {
  /** Gives the scheduler a prefix; the scripted model's keys are its tokens. */
  function keep({ scheduler, model }: Started, tokens: number[]) {
    const kept = { isDropped: false };
    const bytes = tokens.length * model.bytesPerToken;
    const data = [Float32Array.from(tokens)];
    const dispose = () => {};
    const snapshot = {
      type: 'float32' as const,
      tokens: tokens.length,
      bytes,
      data,
      [Symbol.dispose]: dispose,
    };
    scheduler.keep(Int32Array.from(tokens), snapshot, () => {
      kept.isDropped = true;
    });
    return kept;
  }

  it('are for prompts of any salt, and counted apart', async () => {
    const started = startScheduler(1, room(1000));
    const { scheduler, ended, of, tokens } = started;
    keep(started, range(0, 100));
    for (const [id, cacheSalt] of [undefined, 'one', 'other'].entries()) {
      const salt = cacheSalt === undefined ? {} : { cacheSalt };
      scheduler.add(id, request([...range(0, 100), ...range(500, 20)], salt));
      await ended(id);
      expect(of(id).chunks.at(-1)!.cachedTokens).toBe(100);
      expect(tokens(id)).toEqual([520, 521, 522]);
    }
    expect(scheduler.stats).toMatchObject({ prefixHits: 300, storedPrefixHits: 300 });
    scheduler.add(9, request([...range(0, 100), ...range(500, 22)]));
    await ended(9);
    expect(of(9).chunks.at(-1)!.cachedTokens).toBe(120); // from the first one's own
    expect(scheduler.stats).toMatchObject({ prefixHits: 420, storedPrefixHits: 300 });
  });

  it('make room where nobody begins with them, and tell', async () => {
    const started = startScheduler(1, room(250));
    const { scheduler, ended } = started;
    const used = keep(started, range(0, 50));
    let unused: ReturnType<typeof keep> | undefined;
    for (let turn = 1; turn <= 5; turn++) {
      // Each turn of a chat begins with the one before, which knows more than the prefix.
      scheduler.add(turn, request([...range(0, 50), ...range(700, 25 * turn)]));
      await ended(turn);
      unused ??= keep(started, range(600, 50));
    }
    expect([used, unused]).toEqual([{ isDropped: false }, { isDropped: true }]);
  });
});

describe('sequences of the same prompt at once', () => {
  it('have it read once', async () => {
    const { scheduler, model, ended, of } = startScheduler(4);
    const prompt = range(0, 300);
    for (const id of [1, 2, 3]) scheduler.add(id, request(prompt));
    await ended(1, 2, 3);
    const read = model.calls.flatMap((call) => call.tokens).filter((tokens) => tokens.length > 1);
    expect(read.map((tokens) => tokens.length)).toEqual([128, 128, 44, 2, 2]);
    expect(of(1).chunks.at(-1)!.cachedTokens).toBeUndefined();
    for (const id of [2, 3]) {
      expect(of(id).chunks.at(-1)!.cachedTokens).toBe(298);
      expect(of(id).chunks.flatMap((chunk) => chunk.tokens)).toEqual([300, 301, 302]);
    }
  });

  it('have what they begin with read once', async () => {
    const { scheduler, model, ended, tokens } = startScheduler(4);
    for (const id of [1, 2, 3]) scheduler.add(id, request([...range(0, 200), 600 + 50 * id, 601 + 50 * id]));
    await ended(1, 2, 3);
    const read = model.calls.flatMap((call) => call.tokens).filter((part) => part.length > 1);
    expect(read.flat().filter((token) => token < 200)).toHaveLength(200);
    for (const id of [1, 2, 3]) expect(tokens(id)).toEqual(range(602 + 50 * id, 3));
  });

  it('do not wait for one that leaves', async () => {
    const { scheduler, model, ended, tokens } = startScheduler(4);
    let calls = 0;
    model.before = () => {
      if (++calls === 2) scheduler.cancel(1);
    };
    for (const id of [1, 2]) scheduler.add(id, request(range(0, 600)));
    await ended(2);
    expect(tokens(2)).toEqual([600, 601, 602]);
  });
});
