import { InvalidDataError } from '../../../artifact/errors.ts';
import type { Checkpoint } from '../checkpoint.ts';

/** Opens one GGUF file. */
export async function openGguf(path: string): Promise<Checkpoint> {
  throw new InvalidDataError(`${path}: GGUF files are not read yet.`);
}
