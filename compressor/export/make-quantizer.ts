import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { UsageError } from '../../artifact/errors.ts';
import type { MatrixKind, Precision } from '../../artifact/manifest.ts';
import type { Checkpoint } from '../checkpoint/checkpoint.ts';
import { windowsDigest } from '../evaluate/windows.ts';
import { type BlockMatrix, blockMatrices } from '../graph/layer.ts';
import { allocate } from '../quantize/allocate.ts';
import { type BlockQuantizer, NearestQuantizer, type PrecisionOf } from '../quantize/block-quantizer.ts';
import { CalibratedQuantizer } from '../quantize/calibrate.ts';
import type { Calibration } from '../quantize/calibration.ts';
import { findScales } from '../quantize/find-scales.ts';
import { calibratedBits } from '../quantize/precision.ts';
import { scaledStudent } from '../quantize/scaled-student.ts';
import type { Student } from '../student/student.ts';
import { blockStep } from './export.ts';
import { keepScales } from './keep-scales.ts';
import { readCodes } from './read-codes.ts';
import type { WorkFolder } from './work-folder.ts';

/** How blocks become codes. */
export interface Quantization {
  precision: Record<MatrixKind, Precision>;
  /** Mean bits of a block weight: some of the int4 matrices are int8 then. */
  budget: number | undefined;
  /** How int4 is fitted; undefined where it is rounded to nearest. */
  calibration: Calibration | undefined;
}

export interface QuantizerOptions extends Quantization {
  checkpoint: Checkpoint;
  student: Student;
  /** Where blocks that are done lie, and what was decided about them. */
  work: WorkFolder;
  onProgress?: (step: string, done: number, total: number) => void;
  signal?: AbortSignal;
}

/** Windows that int8 matrices are chosen on: an average over many tokens, not a fit. */
const allocationWindows = 8;

/** @throws UsageError where a budget is given and no text to spend it by */
export function quantizationOf(
  precision: Record<MatrixKind, Precision>,
  budget: number | undefined,
  calibrate: Calibration | undefined,
): Quantization {
  if (budget !== undefined && !calibrate)
    throw new UsageError('--quantize auto chooses by the calibration text: leave out --calibrate none.');
  const isCalibrated = blockMatrices.some((matrix) => precision[matrix].bits === calibratedBits);
  return { precision, budget, calibration: isCalibrated ? calibrate : undefined };
}

/** What the codes depend on besides the weights. */
export function quantizationIdentity({ precision, budget, calibration }: Quantization): unknown {
  if (!calibration) return [precision];
  return [precision, calibration.method, windowsDigest(calibration.windows), budget];
}

/** The student in the form that is quantized: with its inputs scaled, where the calibration says so. */
export async function quantizedForm(options: QuantizerOptions): Promise<Student> {
  const { checkpoint, student, precision, calibration, work, onProgress, signal } = options;
  if (!calibration?.method.startsWith('awq')) return student;
  const scales = await keepScales(work, () =>
    findScales({
      checkpoint,
      student,
      windows: calibration.windows,
      precision: (_, matrix) => precision[matrix],
      ...(onProgress && { onProgress: (done, total) => onProgress('Scaling inputs', done, total) }),
      ...(signal && { signal }),
    }),
  );
  return scaledStudent(student, scales);
}

/** @param options.student in the form that is quantized */
export async function makeQuantizer(options: QuantizerOptions): Promise<BlockQuantizer> {
  const { checkpoint, student, precision, calibration, work, signal } = options;
  const int8 = await matricesInInt8(options);
  const precisionOf: PrecisionOf = (block, matrix) =>
    int8[block]?.includes(matrix) ? { ...precision[matrix], bits: 8 } : precision[matrix];
  const nearest = new NearestQuantizer(checkpoint, student, precisionOf);
  if (!calibration?.method.endsWith('gptq')) return nearest;
  const { windows } = calibration;
  const written = async (block: number) => {
    const blob = await work.find(blockStep(block));
    return blob && readCodes(work.path, blob);
  };
  const how = { student, windows, precision: precisionOf, nearest, written };
  return new CalibratedQuantizer({ ...how, ...(signal && { signal }) });
}

/** By block. Chosen once: an interrupted fold keeps to it. */
async function matricesInInt8(options: QuantizerOptions): Promise<Record<number, BlockMatrix[]>> {
  const { student, precision, budget, calibration, work, onProgress, signal } = options;
  if (budget === undefined || !calibration) return {};
  const path = join(work.path, 'int8.json');
  const known = await readFile(path, 'utf8').catch(() => undefined);
  if (known !== undefined) return JSON.parse(known);
  const chosen = await allocate({
    student,
    windows: calibration.windows.slice(0, allocationWindows),
    precision: (matrix) => precision[matrix],
    bits: budget,
    ...(onProgress && { onProgress: (done, total) => onProgress('Choosing what needs int8', done, total) }),
    ...(signal && { signal }),
  });
  const byBlock = Object.fromEntries(chosen);
  await writeFile(path, JSON.stringify(byBlock));
  return byBlock;
}
