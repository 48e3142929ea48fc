import { Command, CommanderError } from 'commander';
import { describe, expect, it } from 'vitest';
import { addFoldOptions, type FoldFlags } from '../../../cli/fold-options.ts';

function parse(...args: string[]): FoldFlags {
  const command = addFoldOptions(new Command('test'))
    .exitOverride()
    .action(() => {});
  command.configureOutput({ writeErr: () => {} });
  return command.parse(args, { from: 'user' }).opts<FoldFlags>();
}

describe('the options of a fold', () => {
  it('fold nothing and quantize to int4 by default', () => {
    expect(parse()).toEqual({
      device: 'cpu',
      remove: 0,
      share: 1,
      groups: 'even',
      width: 1,
      shrink: 'depth',
      spread: 0.1,
      rank: 'loss',
      searchCost: 'error',
      patch: 'none',
      refill: 'none',
      adapter: { gains: false, rank: 0 },
      weights: 'first',
      keep: [0, -1],
      quantize: 'int4',
      calibrate: 'gptq',
      calibrationTokens: 2048,
    });
  });

  it('follow a method, except where they are given', () => {
    expect(parse('--method', 'foldgpt')).toMatchObject({ rank: 'gates', patch: 'linear' });
    expect(parse('--rank', 'runs', '--method', 'foldgpt')).toMatchObject({ rank: 'runs', patch: 'linear' });
    expect(parse('--method', 'streamline')).toMatchObject({ rank: 'cosine', patch: 'block' });
    expect(parse('--method', 'shortgpt')).toMatchObject({ rank: 'influence', patch: 'none' });
    expect(parse('--method', 'modegpt')).toMatchObject({ rank: 'influence', shrink: 'width' });
    expect(parse('--method', 'modegpt', '--shrink', 'depth')).toMatchObject({ shrink: 'depth' });
    expect(parse('--method', 'flexigpt')).toMatchObject({
      ...{ rank: 'influence', refill: 'nearest', adapter: { gains: true, rank: 16 } },
    });
  });

  it('are read as numbers, lists and choices', () => {
    const args =
      '--remove 0.25 --share 3 --rank influence --weights mean --keep -2,5 --calibration-tokens 64';
    expect(parse(...args.split(' '))).toMatchObject({
      remove: 0.25,
      share: 3,
      rank: 'influence',
      weights: 'mean',
      keep: [-2, 5],
      calibrationTokens: 64,
    });
    expect(parse('--keep', 'none').keep).toEqual([]);
    expect(parse('--keep=-1').keep).toEqual([-1]);
    expect(parse('--share', '1.5').share).toBe(1.5);
  });

  it.each([
    ['--remove', 'half'],
    ['--remove', ''],
    ['--remove', 'Infinity'],
    ['--share', 'x'],
    ['--rank', 'random'],
    ['--weights', 'best'],
    ['--calibrate', 'rtn'],
    ['--keep', '1,two'],
    ['--keep', '1,,2'],
    ['--calibration-tokens', '0'],
    ['--calibration-tokens', '-5'],
    ['--calibration-tokens', '1e99'],
  ])('refuse %s %j', (option, value) => {
    expect(() => parse(option, value)).toThrow(CommanderError);
  });
});
