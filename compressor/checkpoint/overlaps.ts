import { InvalidDataError } from '../../artifact/errors.ts';
import type { RangeFile } from './range-file.ts';

/**
 * Tensors that share bytes are a sign of a damaged or a made-up header.
 * @throws InvalidDataError naming two that do
 */
export function checkOverlaps(file: RangeFile, ranges: { name: string; start: number; end: number }[]): void {
  ranges.sort((a, b) => a.start - b.start || a.end - b.end);
  for (let i = 1; i < ranges.length; i++) {
    const [before, range] = [ranges[i - 1]!, ranges[i]!];
    if (range.start < before.end) {
      throw new InvalidDataError(
        `${file.path}: the data of ${before.name} and ${range.name} overlap. Fetch the file again.`,
      );
    }
  }
}
