import { describe, expect, it } from 'vitest';
import { readSettings, threadsOf } from '../../../functions/lambda/settings.ts';

const env = { FOLDGATE_STORE: 's3://bucket/models', FOLDGATE_MODEL: 'tales' };
const settings = (more: Record<string, string> = {}) => readSettings({ ...env, ...more });

describe('threads', () => {
  it.each([
    [128, 1],
    [1_769, 1],
    [3_008, 1],
    [3_538, 2],
    [10_240, 5],
  ])('of a function with %i MB are %i: the whole cores', (megabytes, threads) => {
    expect(threadsOf(megabytes)).toBe(threads);
  });

  it('spin only on cores of their own', () => {
    const spinning = (memory: number, threads?: number) =>
      settings({
        AWS_LAMBDA_FUNCTION_MEMORY_SIZE: String(memory),
        ...(threads && { FOLDGATE_THREADS: String(threads) }),
      }).spinning;
    expect(spinning(3_538)).toBe(true);
    expect(spinning(1_769)).toBe(false);
    expect(spinning(3_008, 2)).toBe(false);
  });
});

describe('settings', () => {
  it('have defaults for all but the model', () => {
    expect(settings()).toEqual({
      store: 's3://bucket/models',
      model: 'tales',
      access: 'keys',
      threads: 1,
      spinning: false,
      slots: 4,
      contextLength: undefined,
      kvCache: 'float32',
      promptWeights: 'same',
      cacheFolder: '/tmp/foldgate',
      modelBytes: (1_769 - 128) * 1024 * 1024,
      refreshMs: 30_000,
      loadAtInit: false,
    });
  });

  it.each(['provisioned-concurrency', 'lambda-managed-instances'])('load at init for %s', (type) => {
    expect(settings({ AWS_LAMBDA_INITIALIZATION_TYPE: type }).loadAtInit).toBe(true);
  });

  it.each(['0', '-1', '1.5', 'many'])('refuse %s threads by name', (text) => {
    expect(() => settings({ FOLDGATE_THREADS: text })).toThrow(/FOLDGATE_THREADS is "/);
  });

  it('know two kinds of access, and no other', () => {
    expect(settings({ FOLDGATE_ACCESS: 'iam' }).access).toBe('iam');
    expect(settings({ FOLDGATE_KV_CACHE: 'int8' }).kvCache).toBe('int8');
    expect(settings({ FOLDGATE_PROMPT_WEIGHTS: 'int8' }).promptWeights).toBe('int8');
    expect(() => settings({ FOLDGATE_KV_CACHE: 'int4' })).toThrow(/"int4"; float32 or int8 is expected/);
    expect(() => settings({ FOLDGATE_ACCESS: 'none' })).toThrow(/FOLDGATE_ACCESS is "none"/);
  });

  it('name what is missing', () => {
    expect(() => readSettings({ FOLDGATE_MODEL: 'x' })).toThrow(/FOLDGATE_STORE is not set/);
  });
});
