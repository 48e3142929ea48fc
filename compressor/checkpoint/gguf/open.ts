import { basename } from 'node:path';
import { InvalidDataError } from '../../../artifact/errors.ts';
import type { Checkpoint } from '../checkpoint.ts';
import { familyOfGguf, tensorName } from '../family.ts';
import { ModelCheckpoint } from '../model-checkpoint.ts';
import { RangeFile } from '../range-file.ts';
import { architectureOf } from './architecture.ts';
import { readGgufHeader } from './header.ts';
import { Metadata } from './metadata.ts';
import { storedTensors } from './tensors.ts';
import { tokenizerFiles } from './tokenizer/build.ts';
import { tokensOf } from './tokenizer/tokens.ts';

/** Opens one GGUF file. */
export async function openGguf(path: string): Promise<Checkpoint> {
  const file = await RangeFile.open(path);
  try {
    const header = await readGgufHeader(file);
    const metadata = new Metadata(header.values, path);
    const name = metadata.string('general.architecture');
    if (name === undefined) throw new InvalidDataError(`${path} lacks the key general.architecture.`);
    const family = familyOfGguf(name, path);
    const tensors = storedTensors(file, header.tensors);
    // Merges of a large vocabulary take seconds to derive, and are asked for more than once.
    let built: ReturnType<Checkpoint['tokenizerFiles']> | undefined;
    const architecture = await architectureOf(metadata, tensors, family, path);
    return new ModelCheckpoint({
      name: basename(path).replace(/\.gguf$/, ''),
      path,
      files: [path],
      architecture,
      tokens: tokensOf(metadata, path),
      tokenizerFiles() {
        built ??= Promise.resolve().then(() => tokenizerFiles(metadata, path));
        return built;
      },
      names: () => tensors.keys(),
      layerPrefix: 'blk.',
      find(role) {
        const name = tensorName(family.gguf.tensors, role);
        return { name, stored: name === undefined ? undefined : tensors.get(name) };
      },
      rearrangement: (role) =>
        family.gguf.interleavedRotary && /attention\.[qk](\.bias)?$/.test(role)
          ? { interleavedHeads: architecture.headSize }
          : {},
      close: () => file.close(),
    });
  } catch (error) {
    await file.close();
    throw error;
  }
}
