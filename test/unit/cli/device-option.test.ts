import { expect, it } from 'vitest';
import { UsageError } from '../../../artifact/errors.ts';
import { parseDevice } from '../../../compressor/device.ts';
import { foldgate } from '../../fixtures/command-line.ts';

it('devices are the CPU and numbered ones of CUDA', () => {
  expect(['cpu', 'cuda', 'cuda:0', 'cuda:3'].map(parseDevice)).toEqual([undefined, 0, 0, 3]);
  for (const name of ['gpu', 'cuda:', 'cuda:x', 'cuda:1000', 'CUDA', ''])
    expect(() => parseDevice(name), name).toThrow(UsageError);
});

it('one that is not there is told of before any work', async () => {
  // No machine has so many.
  const args = ['plan', 'checkpoints/tales-5m', '--remove', '0.2', '--device', 'cuda:99'];
  const { code, stdout, stderr } = await foldgate(...args);
  expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
  expect(stderr).toMatch(/CUDA/);
  expect(stderr).not.toContain('Ranking');
  expect((await foldgate('train', '--help')).stdout).toContain('--device <name>');
});
