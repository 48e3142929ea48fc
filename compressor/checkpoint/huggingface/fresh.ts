import { createHash } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { InvalidDataError, NotFoundError } from '../../../artifact/errors.ts';
import { normalNumbers } from '../../random.ts';
import { checkTokens } from '../check-tokens.ts';
import type { Checkpoint, CheckpointTensor, TensorRole } from '../checkpoint.ts';
import { familyOfConfig } from '../family.ts';
import { parseObject, readOptional } from '../json.ts';
import { limits } from '../limits.ts';
import { headMultiple } from '../pad-heads.ts';
import { shapeOf } from '../shapes.ts';
import { architectureOf } from './config.ts';
import { sideFiles, tokenizerFiles } from './open.ts';
import { tokensOf } from './tokens.ts';

/** Deviation of the first weights, where config.json names none as `initializer_range`. */
const usualDeviation = 0.02;

/**
 * A model that has learnt nothing yet: the architecture of a folder's config.json with random weights, the same for
 * the same seed. Matrices are normal; those that write into the residual stream are smaller by the root of their
 * number (GPT-2), so that its size does not grow with depth.
 * @throws InvalidDataError where config and tokenizer do not fit each other
 */
export async function freshCheckpoint(folder: string, seed: number): Promise<Checkpoint> {
  const where = join(folder, 'config.json');
  if (!(await stat(folder).catch(() => undefined))?.isDirectory())
    throw new NotFoundError(`${folder} is no folder: expected one with config.json and tokenizer.json.`);
  const bytes = await readOptional(folder, 'config.json', limits.configBytes);
  if (!bytes) throw new NotFoundError(`${where} does not exist: it says what model to train.`);
  const config = parseObject(bytes, where);
  const family = familyOfConfig(config, where);
  const architecture = architectureOf(config, family, where);
  const { headSize, layers } = architecture;
  if (headSize % headMultiple !== 0)
    throw new InvalidDataError(
      `${where}: heads of ${headSize}; a model to train needs a multiple of ${headMultiple}.`,
    );
  const { initializer_range: given } = config;
  const deviation = typeof given === 'number' && given > 0 ? given : usualDeviation;
  const intoResidual = deviation / Math.sqrt(2 * layers.length);
  const checkpoint: Checkpoint = {
    name: basename(resolve(folder)),
    path: folder,
    files: sideFiles.map((file) => join(folder, file)),
    architecture,
    tokens: await tokensOf(folder, config, family),
    tokenizerFiles: () => tokenizerFiles(folder),
    tensor(role) {
      const shape = shapeOf(architecture, role);
      if (!shape) throw new InvalidDataError(`${folder}: a model like this has no ${role}.`);
      if (shape.length === 1) return constant(role, shape, /bias$/.test(role) ? 0 : 1);
      const isOut = /\.(attention\.output|mlp\.down)$/.test(role);
      return random(role, shape, isOut ? intoResidual : deviation, seed);
    },
    close: async () => {},
  };
  await tokenizerFiles(folder); // a model without one could not be trained
  await checkTokens(checkpoint);
  return checkpoint;
}

function constant(role: TensorRole, shape: number[], value: number): CheckpointTensor {
  const read = async (start = 0, count = shape[0]! - start) => new Float32Array(count).fill(value);
  return { role, shape, storedAs: 'F32', read };
}

/** Rows are drawn each by itself, so that any range of them is the same. */
function random(role: TensorRole, shape: number[], deviation: number, seed: number): CheckpointTensor {
  const [rows, columns] = shape as [number, number];
  const key = createHash('sha256').update(`${seed} ${role}`).digest().readUInt32LE();
  return {
    role,
    shape,
    storedAs: 'F32',
    async read(start = 0, count = rows - start) {
      const values = new Float32Array(count * columns);
      for (let row = 0; row < count; row++) {
        const normal = normalNumbers(key ^ Math.imul(start + row + 1, 0x9e3779b1));
        for (let i = 0; i < columns; i++) values[row * columns + i] = deviation * normal();
      }
      return values;
    },
  };
}
