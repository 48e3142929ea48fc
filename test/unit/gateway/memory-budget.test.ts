import { describe, expect, it } from 'vitest';
import { ModelUnavailableError } from '../../../functions/gateway/errors.ts';
import { type Evictable, MemoryBudget, NoRoomError } from '../../../functions/gateway/memory-budget.ts';

/** Models that take the budget's bytes and give them back when they are unloaded. */
function budgetOf(limitBytes: number, roomDeadlineMs?: number) {
  const models: FakeModel[] = [];
  const budget = new MemoryBudget({
    limitBytes,
    candidates: () => models,
    ...(roomDeadlineMs && { roomDeadlineMs }),
  });
  class FakeModel implements Evictable {
    loaded: unknown = this;
    users = 0;
    usedAt = models.length;
    readonly bytes: number;
    constructor(bytes: number) {
      this.bytes = bytes;
      models.push(this);
    }
    async unload() {
      if (this.users > 0) return false;
      this.loaded = undefined;
      budget.release(this.bytes);
      return true;
    }
  }
  const { signal } = new AbortController();
  const load = async (bytes: number, wait = true, except?: Evictable) => {
    await budget.take(bytes, { wait, except, signal });
    return new FakeModel(bytes);
  };
  return { budget, load };
}

describe('the memory budget', () => {
  it('unloads the least recently used, as few as it takes', async () => {
    const { budget, load } = budgetOf(100);
    const [first, second, third] = [await load(30), await load(30), await load(30)];
    first!.usedAt = 10;
    await load(40);
    expect([first, second, third].map((model) => model!.loaded !== undefined)).toEqual([true, false, true]);
    expect(budget.used).toBe(100);
  });

  it('never unloads one in use: who needs room waits until one is free', async () => {
    const { budget, load } = budgetOf(100);
    const busy = await load(80);
    busy.users = 1;
    let arrived = false;
    const next = load(50).then((model) => {
      arrived = true;
      return model;
    });
    budget.noteChange(); // something else ended: still no room
    await new Promise(setImmediate);
    expect([arrived, busy.loaded]).toEqual([false, busy]);
    busy.users = 0;
    budget.noteChange();
    await next;
    expect(busy.loaded).toBeUndefined();
    expect(budget.used).toBe(50);
  });

  it('says so after a while', async () => {
    const { load } = budgetOf(100, 1);
    (await load(80)).users = 1;
    await expect(load(50)).rejects.toThrow(ModelUnavailableError);
  });

  it('stops waiting when the server closes', async () => {
    const { budget, load } = budgetOf(100);
    (await load(80)).users = 1;
    const closing = new AbortController();
    const waiting = budget.take(50, { wait: true, signal: closing.signal });
    closing.abort(new Error('closing'));
    await expect(waiting).rejects.toThrow('closing');
    expect(budget.used).toBe(80);
  });

  it('has no room for a new version beside the old one where that does not fit', async () => {
    const { load } = budgetOf(100);
    const old = await load(60);
    await expect(load(60, false, old)).rejects.toThrow(NoRoomError);
    expect(old.loaded).toBe(old);
  });

  it('refuses what can never fit, and says what to do', async () => {
    const { load } = budgetOf(100e6);
    await expect(load(101e6)).rejects.toThrow(/takes 101 MB.*100 MB.*--memory/);
  });

  it('gives no byte out twice to loads at the same time', async () => {
    const { budget, load } = budgetOf(100, 1);
    const loads = await Promise.allSettled([load(60), load(60)]);
    // The second unloads the first, which nobody uses yet.
    expect(loads.map(({ status }) => status)).toContain('fulfilled');
    expect(budget.used).toBeLessThanOrEqual(100);
  });
});
