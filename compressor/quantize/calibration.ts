import { UsageError } from '../../artifact/errors.ts';
import type { AdapterForm } from '../adapter/adapter.ts';

/**
 * How int4 matrices are fitted to a text: `awq` scales their inputs, and rounds to nearest; `gptq` lets each
 * input's weights make up for the errors of those before.
 */
export const calibrations = ['gptq', 'awq', 'awq+gptq'] as const;
export type CalibrationMethod = (typeof calibrations)[number];

/**
 * @throws UsageError where inputs are to be scaled, block by block, that shards of a pool share
 */
export function checkCalibration(
  method: CalibrationMethod | 'none' | undefined,
  adapter: AdapterForm | undefined,
): void {
  if (!adapter?.pool || !method?.startsWith('awq')) return;
  throw new UsageError(
    `--calibrate ${method} scales the inputs of every block by themselves, and --adapter mos shares shards between ` +
      'layers that run different blocks. Take --calibrate gptq, or --adapter lora.',
  );
}

export interface Calibration {
  method: CalibrationMethod;
  /** Token ids of each window of the text. */
  windows: Int32Array[];
}
