import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { InvalidDataError, NotFoundError } from '../../../artifact/errors.ts';
import type { StoredTensor } from '../canonical.ts';
import { pathInside } from '../inside.ts';
import { parseObject, readOptional } from '../json.ts';
import { limits } from '../limits.ts';
import { RangeFile } from '../range-file.ts';
import { readSafetensors } from './safetensors.ts';

const single = 'model.safetensors';
const indexName = 'model.safetensors.index.json';
const indexSchema = z.object({ weight_map: z.record(z.string(), z.string()) });

/** The tensors of a folder, whether in one file or sharded. */
export interface Weights {
  tensors: Map<string, StoredTensor>;
  /** The files' paths, the index included. */
  paths: string[];
  close(): Promise<void>;
}

/** @throws InvalidDataError where the index and the files disagree */
export async function openWeights(folder: string): Promise<Weights> {
  const index = await readOptional(folder, indexName, limits.indexBytes);
  const weightMap = index && parseIndex(index, join(folder, indexName));
  const names = index ? shardNames(index, join(folder, indexName)) : [single];
  const files: RangeFile[] = [];
  const close = async () => {
    await Promise.all(files.map((file) => file.close()));
  };
  try {
    const tensors = new Map<string, StoredTensor>();
    for (const name of names) {
      const file = await openInside(folder, name);
      files.push(file);
      for (const [tensor, stored] of await readSafetensors(file)) {
        // The index decides: a tensor that it places elsewhere is not this file's to give.
        if (weightMap === undefined || weightMap[tensor] === name) tensors.set(tensor, stored);
      }
    }
    const lost = Object.keys(weightMap ?? {}).find((tensor) => !tensors.has(tensor));
    if (lost !== undefined) {
      throw new InvalidDataError(
        `${join(folder, indexName)} places ${lost} in ${weightMap?.[lost]}, which does not hold it. Fetch the checkpoint again.`,
      );
    }
    const paths = [...(index ? [indexName] : []), ...names].map((name) => join(folder, name));
    return { tensors, paths, close };
  } catch (error) {
    await close();
    throw error;
  }
}

/**
 * The files that an index names, each once.
 * @throws InvalidDataError where a name leads elsewhere than beside the index
 */
export function shardNames(index: Uint8Array, where: string): string[] {
  const names = [...new Set(Object.values(parseIndex(index, where)))];
  if (names.length > limits.shards) {
    throw new InvalidDataError(`${where} names ${names.length} files, more than ${limits.shards}.`);
  }
  for (const name of names) checkName(name, where);
  return names;
}

function parseIndex(bytes: Uint8Array, where: string): Record<string, string> {
  const parsed = indexSchema.safeParse(parseObject(bytes, where));
  if (!parsed.success) throw new InvalidDataError(`${where} is no index:\n${z.prettifyError(parsed.error)}`);
  return parsed.data.weight_map;
}

/** Shards lie beside their index: anything else in a name is an attempt to read other files. */
function checkName(name: string, where: string): void {
  if (/^[^/\\\0]+\.safetensors$/.test(name) && name.length < 256) return;
  throw new InvalidDataError(
    `${where} names the file ${JSON.stringify(name)}. Expected a plain name that ends in .safetensors, in the same folder.`,
  );
}

async function openInside(folder: string, name: string): Promise<RangeFile> {
  try {
    return await RangeFile.open(await pathInside(folder, name));
  } catch (cause) {
    if ((cause as { code?: string }).code !== 'ENOENT') throw cause;
    throw new NotFoundError(`${join(folder, name)} does not exist. ${await otherFiles(folder)}`, { cause });
  }
}

async function otherFiles(folder: string): Promise<string> {
  const names = await readdir(folder).catch(() => []);
  if (names.some((name) => /^pytorch_model.*\.bin$/.test(name))) {
    return 'The folder holds PyTorch pickles, which can run code when read: save the model again as safetensors.';
  }
  return 'A checkpoint has model.safetensors, or model.safetensors.index.json and the files that it names.';
}
