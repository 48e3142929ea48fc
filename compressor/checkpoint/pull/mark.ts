import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { readOptional } from '../json.ts';
import { limits } from '../limits.ts';

const fileName = '.pulled.json';
const schema = z.object({ spec: z.string(), gguf: z.string().nullable() });

/** What a folder was last pulled for. The mark is there while everything it stands for is. */
export interface Mark {
  spec: string;
  gguf: string | undefined;
}

/** Whether the folder holds all of what `mark` says, as far as one can tell without the hub. */
export async function isMarked(folder: string, { spec, gguf }: Mark): Promise<boolean> {
  try {
    const bytes = await readOptional(folder, fileName, limits.configBytes);
    if (!bytes) return false;
    const mark = schema.parse(JSON.parse(new TextDecoder().decode(bytes)));
    return mark.spec === spec && mark.gguf === (gguf ?? null);
  } catch {
    return false; // no mark of ours
  }
}

export async function setMark(folder: string, { spec, gguf }: Mark): Promise<void> {
  await writeFile(join(folder, fileName), `${JSON.stringify({ spec, gguf: gguf ?? null })}\n`);
}

export async function removeMark(folder: string): Promise<void> {
  await rm(join(folder, fileName), { force: true });
}
