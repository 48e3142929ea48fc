import type { Command } from 'commander';

/** Of commands that compute in float32. */
export function addDeviceOption(command: Command): Command {
  return command
    .option(
      '--device <name>',
      'what works in float32 (rankings, training, measuring before anything is stored): cpu; cuda, or cuda:N, an NVIDIA GPU',
      'cpu',
    )
    .hook('preAction', (_, action) => {
      const name: string = action.getOptionValue('device');
      return name === 'cpu' ? undefined : useDevice(name);
    });
}

/** Told now, not after an hour: a device that is not there. */
async function useDevice(name: string): Promise<void> {
  const { computeOn, parseDevice } = await import('../compressor/device.ts');
  computeOn(parseDevice(name));
  const { PatchRunner } = await import('../compressor/forward/patch-runner.ts');
  new PatchRunner({ width: 1 })[Symbol.dispose]();
}
