import { describe, expect, it, onTestFinished, vi } from 'vitest';
import type { GenerationChunk, GenerationRequest } from '../../../functions/engine/engine.ts';
import { Scheduler, streamIntervalMs } from '../../../functions/engine/scheduler.ts';
import { ScriptedDecoder } from '../../fixtures/scripted-decoder.ts';

const vocabularySize = 1000;
const greedy = { temperature: 0, topP: 1, topK: 0, minP: 0 };

const request = (prompt: number[], changed: Partial<GenerationRequest> = {}): GenerationRequest => ({
  prompt,
  maxTokens: 3,
  sampling: greedy,
  stopTokens: [],
  delivery: 'each',
  ...changed,
});
const range = (from: number, count: number) => Array.from({ length: count }, (_, i) => from + i);

/** A scheduler over the scripted model, and what it delivers, by sequence. */
function start(slots = 4) {
  const decoder = new ScriptedDecoder(vocabularySize);
  const sequences = new Map<
    number,
    { chunks: GenerationChunk[]; error?: Error; ended: PromiseWithResolvers<void> }
  >();
  const of = (id: number) => {
    if (!sequences.has(id)) sequences.set(id, { chunks: [], ended: Promise.withResolvers() });
    return sequences.get(id)!;
  };
  const events = { chunk: (_id: number, _chunk: GenerationChunk) => {} };
  const scheduler = new Scheduler(decoder, vocabularySize, slots, {
    onChunk(id, chunk) {
      of(id).chunks.push(chunk);
      if (chunk.finish) of(id).ended.resolve();
      events.chunk(id, chunk);
    },
    onError(id, error) {
      of(id).error = error;
      of(id).ended.resolve();
    },
  });
  return {
    decoder,
    scheduler,
    events,
    of,
    ended: (...ids: number[]) => Promise.all(ids.map((id) => of(id).ended.promise)),
    tokens: (id: number) => of(id).chunks.flatMap((chunk) => chunk.tokens),
  };
}

describe('one sequence', () => {
  it('is prefilled, then decoded token by token, each fed back', async () => {
    const { scheduler, decoder, ended, of } = start();
    scheduler.add(1, request([5, 10, 20]));
    await ended(1);
    expect(decoder.calls).toEqual([
      { cache: 0, length: 0, tokens: [5, 10, 20] },
      { cache: 0, length: 3, tokens: [21] },
      { cache: 0, length: 4, tokens: [22] },
    ]);
    expect(of(1).chunks.map((chunk) => chunk.tokens)).toEqual([[21], [22], [23]]);
    expect(of(1).chunks.map((chunk) => chunk.finish)).toEqual([undefined, undefined, 'length']);
  });

  it('ends at a stop token without delivering it', async () => {
    const { scheduler, ended, of } = start();
    scheduler.add(1, request([20], { maxTokens: 100, stopTokens: [7, 23] }));
    await ended(1);
    expect(of(1).chunks.map(({ tokens, finish }) => ({ tokens, finish }))).toEqual([
      { tokens: [21], finish: undefined },
      { tokens: [22], finish: undefined },
      { tokens: [], finish: 'stop' },
    ]);
  });

  it('may end at once', async () => {
    const { scheduler, decoder, ended, of } = start();
    scheduler.add(1, request([20], { stopTokens: [21] }));
    await ended(1);
    expect(of(1).chunks).toMatchObject([{ tokens: [], finish: 'stop' }]);
    expect(decoder.calls).toHaveLength(1);
  });

  it('says stop where the last allowed token is a stop token', async () => {
    const { scheduler, ended, of } = start();
    scheduler.add(1, request([20], { maxTokens: 3, stopTokens: [23] }));
    await ended(1);
    expect(of(1).chunks.at(-1)).toMatchObject({ tokens: [], finish: 'stop' });
  });

  it('is delivered in one piece where only the end is asked for', async () => {
    const { scheduler, ended, of } = start();
    scheduler.add(1, request([20], { maxTokens: 4, delivery: 'end' }));
    scheduler.add(2, request([20], { maxTokens: 9, delivery: 'end', stopTokens: [24] }));
    await ended(1, 2);
    expect(of(1).chunks).toMatchObject([{ tokens: [21, 22, 23, 24], finish: 'length' }]);
    expect(of(2).chunks).toMatchObject([{ tokens: [21, 22, 23], finish: 'stop' }]);
  });

  it('is delivered in pieces some time apart where soon is asked for', async () => {
    let now = 1000;
    const clock = vi.spyOn(performance, 'now').mockImplementation(() => now);
    onTestFinished(() => clock.mockRestore());
    const { scheduler, decoder, ended, of } = start();
    const stepMs = streamIntervalMs / 4;
    decoder.before = () => {
      now += stepMs;
    };
    scheduler.add(1, request([20], { maxTokens: 11, delivery: 'soon' }));
    await ended(1);
    // The first at once; then what was made since, every fourth step; the rest with the end.
    expect(of(1).chunks.map((chunk) => chunk.tokens)).toEqual([[21], range(22, 4), range(26, 4), [30, 31]]);
    expect(of(1).chunks.at(-1)!.finish).toBe('length');
  });

  it('holds nothing back where soon is asked of a model that takes its time', async () => {
    let now = 1000;
    const clock = vi.spyOn(performance, 'now').mockImplementation(() => now);
    onTestFinished(() => clock.mockRestore());
    const { scheduler, decoder, ended, of } = start();
    decoder.before = () => {
      now += streamIntervalMs;
    };
    scheduler.add(1, request([20], { delivery: 'soon' }));
    await ended(1);
    expect(of(1).chunks.map((chunk) => chunk.tokens)).toEqual([[21], [22], [23]]);
  });

  it('tells its times with the last chunk alone', async () => {
    const { scheduler, ended, of } = start();
    scheduler.add(1, request([20]));
    await ended(1);
    const [first, second, last] = of(1).chunks;
    expect([first, second]).toEqual([{ tokens: [21] }, { tokens: [22] }]);
    const { queue, prefill, decode } = last!.timings!;
    for (const time of [queue, prefill, decode]) expect(time).toBeGreaterThanOrEqual(0);
    expect(prefill + decode).toBeGreaterThan(0);
  });

  it.each([
    [127, [127]],
    [128, [128]],
    [129, [128, 1]],
    [350, [128, 128, 94]],
  ])('of %i prompt tokens is prefilled in chunks of %j', async (length, chunks) => {
    const { scheduler, decoder, ended, tokens } = start();
    const prompt = range(0, length);
    scheduler.add(1, request(prompt, { maxTokens: 1 }));
    await ended(1);
    expect(decoder.calls.map((call) => call.tokens.length)).toEqual(chunks);
    expect(decoder.calls.flatMap((call) => call.tokens)).toEqual(prompt);
    expect(tokens(1)).toEqual([length]);
  });
});

describe('several sequences', () => {
  it('take turns', async () => {
    const { scheduler, decoder, ended, tokens } = start();
    scheduler.add(1, request([100]));
    scheduler.add(2, request([200]));
    await ended(1, 2);
    // The first had its first turn when the second came.
    expect(decoder.calls.map((call) => call.cache)).toEqual([0, 0, 1, 0, 1, 1]);
    expect(tokens(1)).toEqual([101, 102, 103]);
    expect(tokens(2)).toEqual([201, 202, 203]);
  });

  it('go on between the chunks of a long prompt', async () => {
    const { scheduler, decoder, ended } = start();
    scheduler.add(1, request([1], { maxTokens: 6 }));
    scheduler.add(2, request(range(0, 500), { maxTokens: 1 }));
    await ended(1, 2);
    const sizes = decoder.calls.map((call) => call.tokens.length);
    expect(sizes).toEqual([1, 1, 128, 1, 128, 1, 128, 1, 116, 1]);
  });

  it('that come later are let in at the next turn', async () => {
    const { scheduler, decoder, events, ended } = start();
    events.chunk = (id) => {
      if (id === 1) scheduler.add(2, request([500], { maxTokens: 1 }));
      events.chunk = () => {};
    };
    scheduler.add(1, request([100], { maxTokens: 5 }));
    await ended(1, 2);
    expect(decoder.calls.map((call) => call.cache)).toEqual([0, 0, 1, 0, 0, 0]);
  });

  it('wait for a slot, first come, first served', async () => {
    const { scheduler, decoder, events, ended } = start(2);
    const order: number[] = [];
    events.chunk = (id, chunk) => {
      if (chunk.finish) order.push(id);
    };
    const ids = range(0, 20);
    for (const id of ids) scheduler.add(id, request([id * 10]));
    await ended(...ids);
    expect(order).toEqual(ids);
    // Two sequences run at any time: a third begins only where one has had its three turns.
    const begun = decoder.calls.map((call) => call.length === 0);
    const turns = new Map<number, number>();
    for (const [i, call] of decoder.calls.entries()) {
      if (begun[i]) turns.set(call.cache, 0);
      turns.set(call.cache, turns.get(call.cache)! + 1);
      expect(turns.get(call.cache)).toBeLessThanOrEqual(3);
    }
    expect(decoder.caches).toBe(2);
  });

  it('leave empty caches behind', async () => {
    const { scheduler, decoder, ended, tokens } = start(1);
    scheduler.add(1, request(range(0, 300)));
    scheduler.add(2, request([7]));
    await ended(1, 2);
    expect(decoder.calls.at(-3)).toEqual({ cache: 0, length: 0, tokens: [7] });
    expect(tokens(2)).toEqual([8, 9, 10]);
  });

  it('give the memory of long ones back, and take the caches of short ones over', async () => {
    const { scheduler, decoder, ended } = start(1);
    scheduler.add(1, request(range(0, 2045)));
    scheduler.add(2, request(range(0, 2049)));
    scheduler.add(3, request([7]));
    await ended(1, 2, 3);
    expect(decoder.released).toEqual([0]);
    expect(decoder.calls.at(-1)).toMatchObject({ cache: 1, length: 2 });
  });

  it('take memory for their sampling only when they have a slot', async () => {
    const tooMany = 2 ** 41; // numbers: no array can be that long
    const decoder = new ScriptedDecoder(8);
    const errors: number[] = [];
    const done = Promise.withResolvers<void>();
    const scheduler = new Scheduler(decoder, tooMany, 1, {
      onChunk: (_, { finish }) => finish && done.resolve(),
      onError: (id) => errors.push(id),
    });
    scheduler.add(1, request([1]));
    scheduler.add(2, request([1], { sampling: { ...greedy, temperature: 1 } }));
    scheduler.add(3, request([1], { maxTokens: 1 }));
    expect(errors).toEqual([]);
    await done.promise;
    await expect.poll(() => errors).toEqual([2]);
  });

  it('may follow each other without a pause', async () => {
    const { scheduler, ended, tokens } = start(1);
    for (let id = 0; id < 50; id++) {
      scheduler.add(id, request([id], { maxTokens: 1 }));
      await ended(id); // goes on in the very turn of the event loop in which the scheduler runs out of work
      expect(tokens(id)).toEqual([id + 1]);
    }
  });
});

describe('a cancelled sequence', () => {
  it('takes no further turn', async () => {
    const { scheduler, decoder, events, ended, of } = start();
    events.chunk = (id) => {
      if (id === 1 && of(1).chunks.length === 2) scheduler.cancel(1);
    };
    scheduler.add(1, request([100], { maxTokens: 1000 }));
    scheduler.add(2, request([200], { maxTokens: 10 }));
    await ended(2);
    expect(decoder.calls.filter((call) => call.cache === 0)).toHaveLength(2);
    expect(of(1).chunks).toHaveLength(2);
  });

  it('delivers nothing more where it is cancelled in the middle of a step', async () => {
    const { scheduler, decoder, ended, of } = start();
    decoder.before = (call) => {
      if (call.cache === 0 && call.length > 0) scheduler.cancel(1);
    };
    scheduler.add(1, request([100], { maxTokens: 1000 }));
    scheduler.add(2, request([200], { maxTokens: 5 }));
    await ended(2);
    expect(of(1).chunks).toEqual([{ tokens: [101] }]);
    expect(decoder.calls.filter((call) => call.cache === 0)).toHaveLength(2);
  });

  it('leaves the rest of its prompt unread', async () => {
    const { scheduler, decoder, ended, of } = start();
    decoder.before = () => scheduler.cancel(1);
    scheduler.add(1, request(range(0, 900)));
    scheduler.add(2, request([200]));
    await ended(2);
    expect(decoder.calls.map((call) => call.tokens.length)).toEqual([128, 1, 1, 1]);
    expect(of(1).chunks).toEqual([]);
  });

  it('never begins where it still waits, and its slot goes to the next', async () => {
    const { scheduler, decoder, ended, of } = start(1);
    scheduler.add(1, request([100]));
    scheduler.add(2, request([200]));
    scheduler.add(3, request([300]));
    scheduler.cancel(2);
    await ended(1, 3);
    expect(decoder.calls.flatMap((call) => call.tokens)).toEqual([100, 101, 102, 300, 301, 302]);
    expect(of(2).chunks).toEqual([]);
  });

  it('is forgotten at once where it waits, however long the others take', async () => {
    const { scheduler, ended } = start(1);
    scheduler.add(0, request([100]));
    for (let id = 1; id <= 100; id++) scheduler.add(id, request([200]));
    for (let id = 1; id <= 99; id++) scheduler.cancel(id);
    expect(scheduler.waiting).toBe(1);
    await ended(0, 100);
  });

  it('gives its cache to the next', async () => {
    const { scheduler, decoder, events, ended } = start(1);
    events.chunk = (id) => {
      if (id === 1) scheduler.cancel(1);
    };
    scheduler.add(1, request([100], { maxTokens: 1000 }));
    scheduler.add(2, request([200]));
    await ended(2);
    expect(decoder.caches).toBe(1);
    expect(decoder.calls[1]).toEqual({ cache: 0, length: 0, tokens: [200] });
  });

  it('may be unknown', () => {
    expect(() => start().scheduler.cancel(99)).not.toThrow();
  });
});

describe('a sequence whose step fails', () => {
  it('ends with the error; the others go on', async () => {
    const { scheduler, decoder, ended, of, tokens } = start(2);
    decoder.before = (call) => {
      if (call.tokens[0] === 101) throw new Error('index 101 is out of range');
    };
    scheduler.add(1, request([100]));
    scheduler.add(2, request([200]));
    scheduler.add(3, request([300]));
    await ended(1, 2, 3);
    expect(of(1).error?.message).toBe('index 101 is out of range');
    expect(tokens(1)).toEqual([101]);
    expect(tokens(2)).toEqual([201, 202, 203]);
    expect(tokens(3)).toEqual([301, 302, 303]);
    // The failed one's cache was taken over, emptied.
    expect(decoder.caches).toBe(2);
    for (const first of [200, 300]) {
      expect(decoder.calls.find((call) => call.tokens[0] === first)).toMatchObject({ length: 0 });
    }
  });

  it('may fail for want of memory for its cache', async () => {
    const { scheduler, decoder, ended, of, tokens } = start(2);
    const newCache = decoder.newCache.bind(decoder);
    let asked = 0;
    decoder.newCache = () => {
      if (asked++ === 0) throw new RangeError('Array buffer allocation failed');
      return newCache();
    };
    scheduler.add(1, request([100]));
    scheduler.add(2, request([200]));
    await ended(1, 2);
    expect(of(1).error?.message).toContain('allocation failed');
    expect(tokens(2)).toEqual([201, 202, 203]);
  });
});
