import { describe, expect, it } from 'vitest';
import { UsageError } from '../../../artifact/errors.ts';
import { parseBytes } from '../../../cli/bytes.ts';

describe('parseBytes', () => {
  it.each([
    ['0', 0],
    ['123', 123],
    ['10B', 10],
    ['2kB', 2000],
    ['500MB', 500e6],
    ['10GB', 10e9],
    ['1.5 tb', 1.5e12],
  ])('reads %j', (text, bytes) => expect(parseBytes(text)).toBe(bytes));

  it.each(['', 'GB', '-1GB', '1GiB', '10 G', '1e9', 'all', '1,5GB'])('refuses %j', (text) => {
    expect(() => parseBytes(text)).toThrow(UsageError);
  });
});
