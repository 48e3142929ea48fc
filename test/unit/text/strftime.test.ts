import { describe, expect, it } from 'vitest';
import { strftime } from '../../../artifact/strftime.ts';

// Expected values from Python's datetime.strftime in the C locale.
describe('strftime', () => {
  const morning = new Date(2024, 1, 29, 0, 5, 9);
  const evening = new Date(2026, 10, 4, 21, 40, 0);

  it.each([
    ['%d %b %Y', '29 Feb 2024', '04 Nov 2026'],
    ['%Y-%m-%d %H:%M:%S', '2024-02-29 00:05:09', '2026-11-04 21:40:00'],
    ['%A, %B %-d', 'Thursday, February 29', 'Wednesday, November 4'],
    ['%a %I:%M %p', 'Thu 12:05 AM', 'Wed 09:40 PM'],
    ['%y %j %e', '24 060 29', '26 308  4'],
    ['100%% %Q', '100% %Q', '100% %Q'],
  ])('%s', (format, first, second) => {
    expect(strftime(morning, format)).toBe(first);
    expect(strftime(evening, format)).toBe(second);
  });
});
