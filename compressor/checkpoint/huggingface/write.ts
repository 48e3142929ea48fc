import { copyFile, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { UsageError } from '../../../artifact/errors.ts';
import { isMissing, writeAtomically } from '../../../artifact/store/atomic-file.ts';
import { hasAdapter } from '../../adapter/adapter.ts';
import { matrixShape } from '../../graph/layer.ts';
import type { Student } from '../../student/student.ts';
import type { LayerRole, TensorRole } from '../checkpoint.ts';
import { familyOfConfig, tensorName } from '../family.ts';
import { encodeFloats, floatBytes } from '../float.ts';
import { parseObject } from '../json.ts';
import { shapeOf } from '../shapes.ts';
import { sideFiles } from './open.ts';

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
  for (const [index, { block }] of student.layers.entries()) {
    const own = await student.own(index);
    if ((await student.patch(index)) || hasAdapter(a, own))
      throw new UsageError('A model with patches or adapters cannot be written as a Hugging Face folder.');
    const add = (role: LayerRole, read: Entry['read']) => {
      if (shapeOf(a, `layers.${index}.${role}`)) entries.push(entry(`layers.${index}.${role}`, read));
    };
    for (const [name, values] of Object.entries(own)) add(name as LayerRole, async () => norm(values));
    const stacked = matrixShape(a, 'qkv')[0];
    let row = 0;
    for (const part of ['q', 'k', 'v'] as const) {
      const rows = shapeOf(a, `layers.${index}.attention.${part}`)![0]!;
      const [from, to] = [row / stacked, (row + rows) / stacked];
      const cut = (all: Float32Array) => all.subarray(from * all.length, to * all.length);
      add(`attention.${part}`, async () => cut(await student.matrix(block, 'qkv')));
      add(`attention.${part}.bias`, async () => cut((await student.qkvBias(block))!));
      row += rows;
    }
    add('attention.output', () => student.matrix(block, 'output'));
    for (const part of ['gate', 'up', 'down'] as const) add(`mlp.${part}`, () => student.matrix(block, part));
  }
  entries.push(entry('norm', async () => norm(await student.tensor('norm').read())));
  if (!a.tiedHead) entries.push(entry('head', () => student.tensor('head').read()));
  return entries;
}

/** One tensor in memory at a time. */
async function writeSafetensors(path: string, entries: Entry[], form: WrittenForm): Promise<void> {
  let offset = 0;
  const header: Record<string, unknown> = { __metadata__: { format: 'pt' } };
  for (const { name, shape } of entries) {
    const bytes = shape.reduce((product, n) => product * n, 1) * floatBytes[form];
    header[name] = { dtype: form, shape, data_offsets: [offset, offset + bytes] };
    offset += bytes;
  }
  const json = JSON.stringify(header);
  // Data begin at a multiple of 8, as safetensors' own writer pads.
  const text = Buffer.from(json.padEnd(Math.ceil(json.length / 8) * 8));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  await writeAtomically(path, async (file) => {
    await file.writev([length, text]);
    for (const { read } of entries) await file.writeFile(encodeFloats(form, await read()));
  });
}
