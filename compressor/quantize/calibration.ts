/**
 * How int4 matrices are fitted to a text: `awq` scales their inputs, and rounds to nearest; `gptq` lets each
 * input's weights make up for the errors of those before.
 */
export const calibrations = ['gptq', 'awq', 'awq+gptq'] as const;
export type CalibrationMethod = (typeof calibrations)[number];

export interface Calibration {
  method: CalibrationMethod;
  /** Token ids of each window of the text. */
  windows: Int32Array[];
}
