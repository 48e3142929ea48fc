import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { VocabularyWeights } from '../../../functions/engine/sampling/vocabulary-weights.ts';
import { Scheduler } from '../../../functions/engine/scheduler.ts';
import { streamIntervalMs } from '../../../functions/engine/sequence.ts';
import { greedy, range, request, startScheduler } from '../../fixtures/scheduled.ts';
import { ScriptedRows } from '../../fixtures/scripted-rows.ts';

describe('one sequence', () => {
  it('is prefilled, then decoded token by token, each fed back', async () => {
    const { scheduler, model, ended, of } = startScheduler();
    scheduler.add(1, request([5, 10, 15, 20]));
    await ended(1);
    expect(model.calls).toEqual([
      { rows: [0], lengths: [0], tokens: [[5, 10, 15, 20]] },
      { rows: [0], lengths: [4], tokens: [[21]] },
      { rows: [0], lengths: [5], tokens: [[22]] },
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
    const { scheduler, model, ended, of } = startScheduler();
    scheduler.add(1, request([20], { stopTokens: [21] }));
    await ended(1);
    expect(of(1).chunks).toMatchObject([{ tokens: [], finish: 'stop' }]);
    expect(model.calls).toHaveLength(1);
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
    const { scheduler, model, ended, of } = startScheduler();
    const stepMs = streamIntervalMs / 4;
    model.before = () => {
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
    const { scheduler, model, ended, of } = startScheduler();
    model.before = () => {
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
    [126, [126]],
    [127, [126, 1]],
    [128, [128]],
    [129, [128, 1]],
    [350, [128, 128, 94]],
  ])('of %i prompt tokens is prefilled in chunks of %j', async (length, chunks) => {
    const { scheduler, model, ended, tokens } = startScheduler();
    const prompt = range(0, length);
    scheduler.add(1, request(prompt, { maxTokens: 1 }));
    await ended(1);
    expect(model.calls.map((call) => call.tokens[0]!.length)).toEqual(chunks);
    expect(model.calls.flatMap((call) => call.tokens.flat())).toEqual(prompt);
    expect(tokens(1)).toEqual([length]);
  });
});

describe('several sequences', () => {
  it('make their tokens in one step', async () => {
    const { scheduler, model, ended, tokens } = startScheduler();
    scheduler.add(1, request([100, 100]));
    scheduler.add(2, request([200, 200]));
    await ended(1, 2);
    // The first had read its prompt, and made a token more, when the second was read.
    expect(model.calls).toEqual([
      { rows: [0], lengths: [0], tokens: [[100, 100]] },
      { rows: [0], lengths: [2], tokens: [[101]] },
      { rows: [1], lengths: [0], tokens: [[200, 200]] },
      { rows: [0, 1], lengths: [3, 2], tokens: [[102], [201]] },
      { rows: [1], lengths: [3], tokens: [[202]] },
    ]);
    expect(tokens(1)).toEqual([101, 102, 103]);
    expect(tokens(2)).toEqual([201, 202, 203]);
  });

  it('with prompts of one token need no reading of their own', async () => {
    const { scheduler, model, ended } = startScheduler();
    for (const id of [1, 2, 3]) scheduler.add(id, request([100 * id], { maxTokens: 1 }));
    await ended(1, 2, 3);
    expect(model.calls.at(-1)).toEqual({ rows: [0, 1], lengths: [0, 0], tokens: [[200], [300]] });
  });

  it('go on between the chunks of a long prompt', async () => {
    const { scheduler, model, ended } = startScheduler();
    scheduler.add(1, request([1], { maxTokens: 6 }));
    scheduler.add(2, request(range(0, 500), { maxTokens: 1 }));
    await ended(1, 2);
    const sizes = model.calls.map((call) => call.tokens[0]!.length);
    expect(sizes).toEqual([1, 128, 1, 128, 1, 128, 1, 116, 1, 1]);
  });

  it('with short prompts do not wait for long ones, which come to their end all the same', async () => {
    const { scheduler, model, events, ended } = startScheduler(4);
    // As soon as a short one is done, another one comes.
    let next = 2;
    const long = range(0, 1280);
    events.chunk = (id) => {
      if (id !== 1 && next < 100) scheduler.add(next, request(range(5000, 100), { maxTokens: 1 }));
      if (id !== 1) next++;
    };
    scheduler.add(1, request(long, { maxTokens: 1 }));
    scheduler.add(2, request(range(3000, 100), { maxTokens: 1 }));
    next = 3;
    await ended(1);
    const order = model.calls.map((call) => call.tokens[0]!.length);
    expect(order.indexOf(100)).toBeLessThanOrEqual(2); // the short one was read before the long one's end
    expect(order.filter((size) => size === 128)).toHaveLength(10);
    expect(order.filter((size) => size === 100).length).toBeLessThan(15); // they took turns
  });

  it('that come later are let in at the next step', async () => {
    const { scheduler, model, events, ended } = startScheduler();
    events.chunk = (id) => {
      if (id === 1) scheduler.add(2, request([500], { maxTokens: 1 }));
      events.chunk = () => {};
    };
    scheduler.add(1, request([100], { maxTokens: 5 }));
    await ended(1, 2);
    expect(model.calls.map((call) => call.rows)).toEqual([[0], [0, 1], [0], [0], [0]]);
  });

  it('wait for a slot, first come, first served', async () => {
    const { scheduler, model, events, ended, tokens } = startScheduler(2);
    const order: number[] = [];
    events.chunk = (id, chunk) => {
      if (chunk.finish) order.push(id);
    };
    const ids = range(0, 20);
    for (const id of ids) scheduler.add(id, request([id * 10]));
    await ended(...ids);
    expect(order).toEqual(ids);
    expect(Math.max(...model.calls.map((call) => call.rows.length))).toBe(2);
    for (const id of ids) expect(tokens(id)).toEqual(range(id * 10 + 1, 3));
  });

  it('leave empty rows behind', async () => {
    const { scheduler, model, ended, tokens } = startScheduler(1);
    scheduler.add(1, request(range(0, 300)));
    scheduler.add(2, request([7]));
    await ended(1, 2);
    expect(model.calls.at(-3)).toEqual({ rows: [0], lengths: [0], tokens: [[7]] });
    expect(tokens(2)).toEqual([8, 9, 10]);
  });

  it('move together where others left: a step computes all rows from first to last', async () => {
    const { scheduler, model, ended, tokens } = startScheduler(4);
    for (const id of [0, 1, 2, 3])
      scheduler.add(id, request([100 * id], { maxTokens: id === 1 || id === 3 ? 20 : 3 }));
    await ended(0, 1, 2, 3);
    expect(model.calls.some((call) => call.rows.join() === '0,1,2,3')).toBe(true);
    expect(model.calls.at(-1)!.rows.length).toBeLessThanOrEqual(2);
    const spans = model.calls.slice(8, 20).map(({ rows }) => rows.at(-1)! - rows[0]! + 1 - rows.length);
    expect(Math.max(...spans)).toBe(0);
    expect(model.copies).toHaveLength(1);
    expect(tokens(3)).toEqual(range(301, 20));
    expect(tokens(1)).toEqual(range(101, 20));
  });

  it('take memory for their sampling only when they have a slot', async () => {
    const tooMany = 2 ** 41; // numbers: no array can be that long
    const model = new ScriptedRows(8, 1);
    const errors: number[] = [];
    const done = Promise.withResolvers<void>();
    const scheduler = new Scheduler(
      model,
      { weights: new VocabularyWeights(tooMany) },
      {
        onChunk: (_, { finish }) => finish && done.resolve(),
        onError: (id) => errors.push(id),
      },
    );
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

describe('prompts that are read by weights of their own', () => {
  it.each([
    [1, [1]],
    [2, [1, 1]],
    [3, [2, 1]],
    [100, [99, 1]],
    [129, [128, 1]],
    [130, [126, 3, 1]],
    [131, [128, 2, 1]],
    [300, [128, 128, 43, 1]],
  ])(
    'leave the last of %i tokens to the step of single ones, and none alone before it',
    async (length, sizes) => {
      const { scheduler, model, ended, tokens } = startScheduler(1);
      model.readsApart = true;
      scheduler.add(1, request(range(0, length), { maxTokens: 1 }));
      await ended(1);
      expect(model.calls.map(({ tokens }) => tokens[0]!.length)).toEqual(sizes);
      expect(tokens(1)).toEqual([length]);
    },
  );

  it('begin with what is known of them, and have two more to read or none', async () => {
    const { scheduler, model, ended } = startScheduler(1, 100_000);
    model.readsApart = true;
    const readsAfter = async (id: number, known: number, prompt: number) => {
      const salt = { cacheSalt: `${id}`, maxTokens: 1 };
      scheduler.add(id, request([...range(0, known), 900, 901, 902], salt));
      await ended(id);
      model.calls.length = 0;
      scheduler.add(id + 100, request(range(0, prompt), salt));
      await ended(id + 100);
      return model.calls.map(({ lengths, tokens }) => [lengths[0], tokens[0]!.length]);
    };
    expect(await readsAfter(1, 50, 101)).toEqual([
      [50, 50],
      [100, 1],
    ]);
    expect(await readsAfter(2, 100, 101)).toEqual([[100, 1]]);
    expect(await readsAfter(3, 100, 102)).toEqual([
      [98, 3],
      [101, 1],
    ]);
  });

  it('are read by the others where their logits are wanted, of which other prompts know nothing', async () => {
    const { scheduler, model, ended, of } = startScheduler(2, 100_000);
    model.readsApart = true;
    scheduler.add(1, request(range(0, 100), { promptLogprobs: true, logprobs: 1 }));
    await ended(1);
    expect(of(1).chunks[0]!.promptLogprobs).toHaveLength(99); // of all but the first
    expect(model.snapshots).toBe(0);
    scheduler.add(2, request(range(0, 300), { promptLogprobs: true, logprobs: 1 }));
    scheduler.add(3, request(range(0, 300)));
    await ended(2, 3);
    expect([...model.copies, ...model.restored]).toEqual([]);
    scheduler.add(4, request(range(0, 300)));
    await ended(4);
    expect(model.restored).toEqual([296]); // of 299 to read, where one alone must not be left
    expect(model.snapshots).toBe(1);
  });
});
