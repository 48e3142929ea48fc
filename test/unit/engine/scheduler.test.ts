import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { Scheduler, streamIntervalMs } from '../../../functions/engine/scheduler.ts';
import { greedy, range, request, startScheduler } from '../../fixtures/scheduled.ts';
import { ScriptedDecoder } from '../../fixtures/scripted-decoder.ts';

describe('one sequence', () => {
  it('is prefilled, then decoded token by token, each fed back', async () => {
    const { scheduler, decoder, ended, of } = startScheduler();
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
    const { scheduler, ended, of } = startScheduler();
    scheduler.add(1, request([20], { maxTokens: 100, stopTokens: [7, 23] }));
    await ended(1);
    expect(of(1).chunks.map(({ tokens, finish }) => ({ tokens, finish }))).toEqual([
      { tokens: [21], finish: undefined },
      { tokens: [22], finish: undefined },
      { tokens: [], finish: 'stop' },
    ]);
  });

  it('may end at once', async () => {
    const { scheduler, decoder, ended, of } = startScheduler();
    scheduler.add(1, request([20], { stopTokens: [21] }));
    await ended(1);
    expect(of(1).chunks).toMatchObject([{ tokens: [], finish: 'stop' }]);
    expect(decoder.calls).toHaveLength(1);
  });

  it('says stop where the last allowed token is a stop token', async () => {
    const { scheduler, ended, of } = startScheduler();
    scheduler.add(1, request([20], { maxTokens: 3, stopTokens: [23] }));
    await ended(1);
    expect(of(1).chunks.at(-1)).toMatchObject({ tokens: [], finish: 'stop' });
  });

  it('is delivered in one piece where only the end is asked for', async () => {
    const { scheduler, ended, of } = startScheduler();
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
    const { scheduler, decoder, ended, of } = startScheduler();
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
    const { scheduler, decoder, ended, of } = startScheduler();
    decoder.before = () => {
      now += streamIntervalMs;
    };
    scheduler.add(1, request([20], { delivery: 'soon' }));
    await ended(1);
    expect(of(1).chunks.map((chunk) => chunk.tokens)).toEqual([[21], [22], [23]]);
  });

  it('tells its times with the last chunk alone', async () => {
    const { scheduler, ended, of } = startScheduler();
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
    const { scheduler, decoder, ended, tokens } = startScheduler();
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
    const { scheduler, decoder, ended, tokens } = startScheduler();
    scheduler.add(1, request([100]));
    scheduler.add(2, request([200]));
    await ended(1, 2);
    // The first had its first turn when the second came.
    expect(decoder.calls.map((call) => call.cache)).toEqual([0, 0, 1, 0, 1, 1]);
    expect(tokens(1)).toEqual([101, 102, 103]);
    expect(tokens(2)).toEqual([201, 202, 203]);
  });

  it('go on between the chunks of a long prompt', async () => {
    const { scheduler, decoder, ended } = startScheduler();
    scheduler.add(1, request([1], { maxTokens: 6 }));
    scheduler.add(2, request(range(0, 500), { maxTokens: 1 }));
    await ended(1, 2);
    const sizes = decoder.calls.map((call) => call.tokens.length);
    expect(sizes).toEqual([1, 1, 128, 1, 128, 1, 128, 1, 116, 1]);
  });

  it('that come later are let in at the next turn', async () => {
    const { scheduler, decoder, events, ended } = startScheduler();
    events.chunk = (id) => {
      if (id === 1) scheduler.add(2, request([500], { maxTokens: 1 }));
      events.chunk = () => {};
    };
    scheduler.add(1, request([100], { maxTokens: 5 }));
    await ended(1, 2);
    expect(decoder.calls.map((call) => call.cache)).toEqual([0, 0, 1, 0, 0, 0]);
  });

  it('wait for a slot, first come, first served', async () => {
    const { scheduler, decoder, events, ended } = startScheduler(2);
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
    const { scheduler, decoder, ended, tokens } = startScheduler(1);
    scheduler.add(1, request(range(0, 300)));
    scheduler.add(2, request([7]));
    await ended(1, 2);
    expect(decoder.calls.at(-3)).toEqual({ cache: 0, length: 0, tokens: [7] });
    expect(tokens(2)).toEqual([8, 9, 10]);
  });

  it('give the memory of long ones back, and take the caches of short ones over', async () => {
    const { scheduler, decoder, ended } = startScheduler(1);
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
    const { scheduler, ended, tokens } = startScheduler(1);
    for (let id = 0; id < 50; id++) {
      scheduler.add(id, request([id], { maxTokens: 1 }));
      await ended(id); // goes on in the very turn of the event loop in which the scheduler runs out of work
      expect(tokens(id)).toEqual([id + 1]);
    }
  });
});
