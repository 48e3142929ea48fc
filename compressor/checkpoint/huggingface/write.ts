import { copyFile, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { UsageError } from '../../../artifact/errors.ts';
import { isMissing, writeAtomically } from '../../../artifact/store/atomic-file.ts';
import { hasAdapter } from '../../adapter/adapter.ts';
import { blockMatrices, matrixShape } from '../../graph/layer.ts';
import type { Student } from '../../student/student.ts';
import { partsOf } from '../../weights/block.ts';
import type { LayerRole, TensorRole } from '../checkpoint.ts';
import { familyOfConfig, tensorName } from '../family.ts';
import { encodeFloats } from '../float.ts';
import { parseObject } from '../json.ts';
import { shapeOf } from '../shapes.ts';
import { sideFiles } from './open.ts';
import { safetensorsHeader } from './safetensors-header.ts';

/** transformers' names of the forms, for config.json. */
const torchNames = { F32: 'float32', BF16: 'bfloat16' } as const;
export type WrittenForm = keyof typeof torchNames;

interface Entry {
  name: string;
  shape: readonly number[];
  read: () => Promise<Float32Array>;
}

/**
 * Writes a model as a Hugging Face folder that transformers and `openCheckpoint` read. Layers that share a block
 * are written with its weights each: the form has no word for sharing, and folding with the same groups finds it
 * again without loss.
 * @param source folder whose config and tokenizer the model has
 * @throws UsageError for what the form cannot hold: patches and adapters
 */
export async function writeHuggingFace(
  student: Student,
  source: string,
  folder: string,
  form: WrittenForm,
): Promise<void> {
  const where = join(source, 'config.json');
  const config = parseObject(await readFile(where), where);
  const entries = await entriesOf(student, config, where);
  await writeSafetensors(join(folder, 'model.safetensors'), entries, form);
  const { dtype: _, ...others } = config;
  const written = { ...others, torch_dtype: torchNames[form] };
  await writeAtomically(join(folder, 'config.json'), (file) =>
    file.writeFile(`${JSON.stringify(written, undefined, 2)}\n`),
  );
  for (const name of sideFiles.filter((name) => name !== 'config.json')) {
    await copyFile(join(source, name), join(folder, name)).catch((error: unknown) => {
      if (!isMissing(error)) throw error;
    });
  }
}

async function entriesOf(student: Student, config: Record<string, unknown>, where: string): Promise<Entry[]> {
  const { architecture: a } = student;
  const { huggingFace } = familyOfConfig(config, where);
  const entry = (role: TensorRole, read: Entry['read']): Entry => ({
    name: tensorName(huggingFace.tensors, role, huggingFace.roots[0])!,
    shape: shapeOf(a, role)!,
    read,
  });
  /** Norm weights as the family stores them. */
  const norm = (values: Float32Array) => values.map((value) => value - huggingFace.normOffset);
  const entries = [entry('embedding', () => student.tensor('embedding').read())];
  for (const [index, { block, half }] of student.layers.entries()) {
    const own = await student.own(index);
    if ((await student.patch(index)) || hasAdapter(a, own) || half) {
      throw new UsageError(
        'A model with patches, adapters or halves of layers cannot be written as a Hugging Face folder.',
      );
    }
    const add = (role: LayerRole, read: Entry['read']) => {
      if (shapeOf(a, `layers.${index}.${role}`)) entries.push(entry(`layers.${index}.${role}`, read));
    };
    for (const [name, values] of Object.entries(own)) add(name as LayerRole, async () => norm(values));
    for (const matrix of blockMatrices) {
      // Our matrices may be several of the checkpoint's, one below the other.
      let row = 0;
      for (const role of partsOf(matrix)) {
        const [from, to] = [row, row + shapeOf(a, `layers.${index}.${role}`)![0]!];
        const cut = (all: Float32Array, columns: number) => all.subarray(from * columns, to * columns);
        const columns = matrixShape(a, matrix)[1];
        add(role, async () => cut(await student.matrix(block, matrix), columns));
        if (matrix === 'qkv')
          add(`${role}.bias` as LayerRole, async () => cut((await student.qkvBias(block))!, 1));
        row = to;
      }
    }
  }
  entries.push(entry('norm', async () => norm(await student.tensor('norm').read())));
  if (!a.tiedHead) entries.push(entry('head', () => student.tensor('head').read()));
  return entries;
}

/** One tensor in memory at a time. */
async function writeSafetensors(path: string, entries: Entry[], form: WrittenForm): Promise<void> {
  const header = safetensorsHeader(
    { format: 'pt' },
    entries.map(({ name, shape }) => ({ name, shape, dtype: form })),
  );
  await writeAtomically(path, async (file) => {
    await file.writeFile(header);
    for (const { read } of entries) await file.writeFile(encodeFloats(form, await read()));
  });
}
