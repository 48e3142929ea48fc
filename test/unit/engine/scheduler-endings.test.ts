import { describe, expect, it } from 'vitest';
import { range, request, startScheduler } from '../../fixtures/scheduled.ts';

describe('a cancelled sequence', () => {
  it('takes no further turn', async () => {
    const { scheduler, model, events, ended, of } = startScheduler();
    events.chunk = (id) => {
      if (id === 1 && of(1).chunks.length === 2) scheduler.cancel(1);
    };
    scheduler.add(1, request([100], { maxTokens: 1000 }));
    scheduler.add(2, request([200], { maxTokens: 10 }));
    await ended(2);
    expect(model.calls.filter((call) => call.tokens.flat()[0]! < 200)).toHaveLength(2);
    expect(of(1).chunks).toHaveLength(2);
  });

  it('delivers nothing more where it is cancelled in the middle of a step', async () => {
    const { scheduler, model, ended, of } = startScheduler();
    model.before = (call) => {
      if (call.tokens[0]![0] === 101) scheduler.cancel(1);
    };
    scheduler.add(1, request([100], { maxTokens: 1000 }));
    scheduler.add(2, request([200], { maxTokens: 5 }));
    await ended(2);
    expect(of(1).chunks).toEqual([{ tokens: [101] }]);
    expect(model.calls.filter((call) => call.tokens.flat()[0]! < 200)).toHaveLength(2);
  });

  it('leaves the rest of its prompt unread', async () => {
    const { scheduler, model, ended, of } = startScheduler();
    model.before = () => scheduler.cancel(1);
    scheduler.add(1, request(range(0, 900)));
    scheduler.add(2, request([200]));
    await ended(2);
    expect(model.calls.map((call) => call.tokens[0]!.length)).toEqual([128, 1, 1, 1]);
    expect(of(1).chunks).toEqual([]);
  });

  it('never begins where it still waits, and its slot goes to the next', async () => {
    const { scheduler, model, ended, of } = startScheduler(1);
    scheduler.add(1, request([100]));
    scheduler.add(2, request([200]));
    scheduler.add(3, request([300]));
    scheduler.cancel(2);
    await ended(1, 3);
    expect(model.calls.flatMap((call) => call.tokens.flat())).toEqual([100, 101, 102, 300, 301, 302]);
    expect(of(2).chunks).toEqual([]);
  });

  it('is forgotten at once where it waits, however long the others take', async () => {
    const { scheduler, ended } = startScheduler(1);
    scheduler.add(0, request([100]));
    for (let id = 1; id <= 100; id++) scheduler.add(id, request([200]));
    for (let id = 1; id <= 99; id++) scheduler.cancel(id);
    expect(scheduler.waiting).toBe(1);
    await ended(0, 100);
  });

  it('gives its row to the next, empty', async () => {
    const { scheduler, model, events, ended } = startScheduler(1);
    events.chunk = (id) => {
      if (id === 1) scheduler.cancel(1);
    };
    scheduler.add(1, request([100], { maxTokens: 1000 }));
    scheduler.add(2, request([200]));
    await ended(2);
    expect(model.calls[1]).toEqual({ rows: [0], lengths: [0], tokens: [[200]] });
  });

  it('may be unknown', () => {
    expect(() => startScheduler().scheduler.cancel(99)).not.toThrow();
  });
});

describe('a finished sequence', () => {
  it('has delivered its text when its row is saved and cleared', async () => {
    const { scheduler, model, ended, of } = startScheduler(1, 1_000_000);
    const saved: boolean[] = [];
    const save = model.save.bind(model);
    model.save = (row) => {
      saved.push(of(1).chunks.at(-1)?.finish !== undefined);
      return save(row);
    };
    scheduler.add(1, request(range(0, 40)));
    const rest = ended(1).then(() => ({ saved: saved.length, row: model.contents[0]!.length }));
    expect(await rest).toEqual({ saved: 0, row: 42 });
    await expect.poll(() => model.contents).toEqual([[]]);
    expect(saved).toEqual([true]);
  });
});

describe('a sequence whose step fails', () => {
  it('ends with the error; the others go on', async () => {
    const { scheduler, model, ended, of, tokens } = startScheduler(2);
    model.before = (call) => {
      if (call.tokens.flat().includes(101)) throw new Error('index 101 is out of range');
    };
    scheduler.add(1, request([100]));
    scheduler.add(2, request([200]));
    scheduler.add(3, request([300]));
    await ended(1, 2, 3);
    expect(of(1).error?.message).toBe('index 101 is out of range');
    expect(tokens(1)).toEqual([101]);
    expect(tokens(2)).toEqual([201, 202, 203]);
    expect(tokens(3)).toEqual([301, 302, 303]);
    await expect.poll(() => model.contents).toEqual([[], []]);
  });

  it('may fail for want of memory for its prompt', async () => {
    const { scheduler, model, ended, of, tokens } = startScheduler(2);
    let asked = 0;
    model.before = () => {
      if (asked++ === 0) throw new RangeError('Array buffer allocation failed');
    };
    scheduler.add(1, request([100]));
    scheduler.add(2, request([200]));
    await ended(1, 2);
    expect(of(1).error?.message).toContain('allocation failed');
    await expect.poll(() => model.contents).toEqual([[], []]);
    expect(tokens(2)).toEqual([201, 202, 203]);
  });
});

it('a sequence runs no longer once its end is told', async () => {
  const { scheduler, events, ended } = startScheduler();
  const running: number[] = [];
  events.chunk = (_, { finish }) => void (finish && running.push(scheduler.stats.running));
  scheduler.add(1, request([100], { maxTokens: 2 }));
  scheduler.add(2, request([200], { maxTokens: 4 }));
  await ended(1, 2);
  expect(running).toEqual([1, 0]);
});
