import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { LineRate } from '../../../artifact/line-rate.ts';

beforeEach(() => void vi.useFakeTimers({ toFake: ['performance', 'setTimeout'] }));
afterEach(() => void vi.useRealTimers());

it('counts the time in which something is on its way, once for all that come together', () => {
  const line = new LineRate();
  expect(line.bytesPerMs).toBeUndefined();
  const [one, other] = [line.begin(), line.begin()];
  expect(line.bytesPerMs).toBeUndefined();
  vi.advanceTimersByTime(100);
  one(6000);
  vi.advanceTimersByTime(20);
  other(6000);
  expect(line.bytesPerMs).toBe(100); // 12,000 in 120 ms
  vi.advanceTimersByTime(10_000); // nothing is wanted
  const third = line.begin();
  vi.advanceTimersByTime(120);
  expect(line.bytesPerMs).toBe(50); // so far it has brought nothing
  third(0); // and failed
  expect(line.bytesPerMs).toBe(50);
});
