import { Command, CommanderError } from 'commander';
import { describe, expect, it } from 'vitest';
import { UsageError } from '../../../artifact/errors.ts';
import { addCureOptions, awareOf, type CureFlags, cureOf, recordedCure } from '../../../cli/cure-options.ts';

const show = { update: () => {}, finish: () => {} };

describe('the cure that flags ask for', () => {
  it('is none without text', () => {
    expect(cureOf({}, show)).toBeUndefined();
    expect(cureOf({ method: 'foldgpt' }, show)).toBeUndefined();
    expect(() => cureOf({ cureTokens: 1000 }, show)).toThrow(UsageError);
  });

  it('has the tokens that are given, else those of the method', () => {
    const data = ['folder/texts.txt'];
    expect(cureOf({ data, cureTokens: 5000, method: 'foldgpt' }, show)?.tokens).toBe(5000);
    expect(cureOf({ data, method: 'foldgpt' }, show)?.tokens).toBe(100_000);
    expect(cureOf({ data, method: 'shortgpt' }, show)).toBeUndefined();
    expect(cureOf({ data, cureTokens: 0 }, show)).toBeUndefined();
    expect(cureOf({ data }, show)?.tokens).toBe(100_000);
    expect(() => cureOf({ data, cureTokens: -1 }, show)).toThrow(UsageError);
  });

  it("weighs the text's own tokens against the checkpoint's probabilities as asked", () => {
    const data = ['texts.txt'];
    expect(cureOf({ data }, show)).toMatchObject({ crossEntropy: 0, divergence: 1 });
    expect(cureOf({ data, crossEntropy: 0.25 }, show)).toMatchObject({
      crossEntropy: 0.25,
      divergence: 0.75,
    });
    const best = { data, method: 'best' };
    expect(cureOf(best, show)).toMatchObject({ crossEntropy: 0.5, divergence: 0.5, learningRate: 2e-4 });
    const other = { ...best, crossEntropy: 0, learningRate: 1e-4 };
    expect(cureOf(other, show)).toMatchObject({ crossEntropy: 0, divergence: 1, learningRate: 1e-4 });
    expect(awareOf({ ...best, quantizeAware: 9 }, show)).toMatchObject({ tokens: 9, crossEntropy: 0.5 });
  });

  it('ends with training to round well where that is asked for, or the method has it', () => {
    const best = { data: ['texts.txt'], method: 'best' };
    expect(awareOf(best, show)?.tokens).toBe(32_768);
    expect(awareOf({ ...best, learningRate: 3e-4 }, show)?.learningRate).toBeCloseTo(1e-4);
    for (const none of [{ ...best, quantizeAware: 0 }, { ...best, quantize: 'none' }, { method: 'best' }, {}])
      expect(awareOf(none, show)).toBeUndefined();
    expect(() => awareOf({ quantizeAware: 9 }, show)).toThrow(/give --data/);
    expect(() => awareOf({ ...best, quantizeAware: -1 }, show)).toThrow(UsageError);
  });

  it('follows a share of the gradients where SparseGrad is asked for', () => {
    const sparse = (...args: string[]) => {
      const command = addCureOptions(new Command('test')).exitOverride();
      command.configureOutput({ writeErr: () => {} }).action(() => {});
      const flags = command.parse(['--data', 'texts.txt', ...args], { from: 'user' }).opts<CureFlags>();
      return cureOf(flags, show)?.sparseGradients;
    };
    expect(sparse()).toBeUndefined();
    expect(sparse('--optimizer', 'adamw')).toBeUndefined();
    expect(sparse('--optimizer', 'sparsegrad')).toBe(0.01);
    expect(sparse('--optimizer', 'sparsegrad:0.05')).toBe(0.05);
    expect(() => sparse('--optimizer', 'sparsegrad', '--cure-train', 'norms')).toThrow(UsageError);
    for (const wrong of [
      'sgd',
      'sparsegrad:',
      'sparsegrad:0',
      'sparsegrad:2',
      'sparsegrad:0.1:2',
      'sparsegrads',
    ])
      expect(() => sparse('--optimizer', wrong), wrong).toThrow(CommanderError);
  });

  it('has its states coded as asked, which is no part of what is recorded', () => {
    const coded = (...args: string[]) => {
      const command = addCureOptions(new Command('test')).exitOverride();
      command.configureOutput({ writeErr: () => {} }).action(() => {});
      const flags = command.parse(['--data', 'texts.txt', ...args], { from: 'user' }).opts<CureFlags>();
      return [cureOf(flags, show), awareOf({ ...flags, quantizeAware: 9 }, show)];
    };
    expect(coded().map((cure) => cure?.coding)).toEqual(['none', 'none']);
    expect(coded('--coding', 'range').map((cure) => cure?.coding)).toEqual(['range', 'range']);
    expect(recordedCure(coded('--coding', 'zstd')[0])).toEqual(recordedCure(coded()[0]));
    expect(() => coded('--coding', 'lzma')).toThrow(CommanderError);
  });

  it('is recorded without the folders of this machine', () => {
    const cure = cureOf({ data: ['folder/texts.txt'], cureTokens: 5000, seed: 3 }, show);
    const recorded = recordedCure(cure);
    expect(recorded).toMatchObject({ cure: { tokens: 5000, seed: 3, data: ['texts.txt'] } });
    expect(JSON.stringify(recorded)).not.toContain('folder');
  });
});
