import { adviseMemory } from './library.ts';
import { mappings } from './mappings.ts';

/**
 * Takes pages of programs and libraries out of this process that only its start needed, 50 MB of Node's and
 * 20 MB of ONNX Runtime's. They stay in the system's cache of files, and what is still needed comes back
 * within microseconds; the rest is the first to go where memory is short, rather than weights.
 * @returns bytes of the mappings that were looked at
 */
export async function forgetProgramText(): Promise<number> {
  let bytes = 0;
  for (const { start, end, rights, name, anonymous } of await mappings()) {
    // Only what is exactly as in the file: relocated pages have no other place than this memory.
    const isText = rights.startsWith('r-') && name.startsWith('/') && anonymous === 0;
    if (isText && adviseMemory(start, Number(end - start), 'dontNeed')) bytes += Number(end - start);
  }
  return bytes;
}
