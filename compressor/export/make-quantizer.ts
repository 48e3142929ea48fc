import { createHash } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { UsageError } from '../../artifact/errors.ts';
import type { MatrixKind, Precision } from '../../artifact/manifest.ts';
import type { Checkpoint } from '../checkpoint/checkpoint.ts';
import { type BlockMatrix, blockMatrices } from '../graph/layer.ts';
import { allocate } from '../quantize/allocate.ts';
import { type BlockQuantizer, NearestQuantizer, type PrecisionOf } from '../quantize/block-quantizer.ts';
import { CalibratedQuantizer } from '../quantize/calibrate.ts';
import { calibratedBits } from '../quantize/precision.ts';
import type { Student } from '../student/student.ts';
import { blockStep } from './export.ts';
import { readCodes } from './read-codes.ts';
import type { WorkFolder } from './work-folder.ts';

/** How blocks become codes. */
export interface Quantization {
  precision: Record<MatrixKind, Precision>;
  /** Mean bits of a block weight: some of the int4 matrices are int8 then. */
  budget: number | undefined;
  /** What int4 is fitted to; undefined where it is rounded to nearest. */
  windows: Int32Array[] | undefined;
}

export interface QuantizerOptions extends Quantization {
  checkpoint: Checkpoint;
  student: Student;
  /** Where blocks that are done lie, and what was decided about them. */
  work: WorkFolder;
  onProgress?: (done: number, total: number) => void;
  signal?: AbortSignal;
}

/** Windows that int8 matrices are chosen on: an average over many tokens, not a fit. */
const allocationWindows = 8;

/** @throws UsageError where a budget is given and no text to spend it by */
export function quantizationOf(
  precision: Record<MatrixKind, Precision>,
  budget: number | undefined,
  calibrate: Int32Array[] | undefined,
): Quantization {
  if (budget !== undefined && !calibrate)
    throw new UsageError('--quantize auto chooses by the calibration text: it needs --calibrate gptq.');
  const isCalibrated = blockMatrices.some((matrix) => precision[matrix].bits === calibratedBits);
  return { precision, budget, windows: isCalibrated ? calibrate : undefined };
}

/** What the codes depend on besides the weights. */
export function quantizationIdentity({ precision, budget, windows }: Quantization): unknown {
  if (!windows) return [precision];
  const hash = createHash('sha256');
  for (const window of windows) hash.update(window);
  return [precision, hash.digest('hex'), budget];
}

export async function makeQuantizer(options: QuantizerOptions): Promise<BlockQuantizer> {
  const { checkpoint, student, precision, windows, work, signal } = options;
  const int8 = await matricesInInt8(options);
  const precisionOf: PrecisionOf = (block, matrix) =>
    int8[block]?.includes(matrix) ? { ...precision[matrix], bits: 8 } : precision[matrix];
  const nearest = new NearestQuantizer(checkpoint, student, precisionOf);
  if (!windows) return nearest;
  const written = async (block: number) => {
    const blob = await work.find(blockStep(block));
    return blob && readCodes(work.path, blob);
  };
  const how = { student, windows, precision: precisionOf, nearest, written };
  return new CalibratedQuantizer({ ...how, ...(signal && { signal }) });
}

/** By block. Chosen once: an interrupted fold keeps to it. */
async function matricesInInt8(options: QuantizerOptions): Promise<Record<number, BlockMatrix[]>> {
  const { student, precision, budget, windows, work, onProgress, signal } = options;
  if (budget === undefined || !windows) return {};
  const path = join(work.path, 'int8.json');
  const known = await readFile(path, 'utf8').catch(() => undefined);
  if (known !== undefined) return JSON.parse(known);
  const chosen = await allocate({
    student,
    windows: windows.slice(0, allocationWindows),
    precision: (matrix) => precision[matrix],
    bits: budget,
    ...(onProgress && { onProgress }),
    ...(signal && { signal }),
  });
  const byBlock = Object.fromEntries(chosen);
  await writeFile(path, JSON.stringify(byBlock));
  return byBlock;
}
