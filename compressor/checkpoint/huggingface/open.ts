import { basename, join, resolve } from 'node:path';
import { InvalidDataError, NotFoundError } from '../../../artifact/errors.ts';
import type { Checkpoint } from '../checkpoint.ts';
import { type Family, familyOfConfig, tensorName } from '../family.ts';
import { parseObject, readOptional } from '../json.ts';
import { limits } from '../limits.ts';
import { ModelCheckpoint } from '../model-checkpoint.ts';
import { architectureOf } from './config.ts';
import { openWeights, type Weights } from './shards.ts';
import { tokensOf } from './tokens.ts';

/** What may lie beside the weights of a Hugging Face folder. */
export const sideFiles = [
  'config.json',
  'generation_config.json',
  'tokenizer.json',
  'tokenizer_config.json',
  'chat_template.jinja',
];

/** Opens a folder with config.json, tokenizer.json and safetensors. */
export async function openHuggingFace(folder: string): Promise<Checkpoint> {
  const where = join(folder, 'config.json');
  const bytes = await readOptional(folder, 'config.json', limits.configBytes);
  if (!bytes) throw new NotFoundError(`${where} does not exist.`);
  const config = parseObject(bytes, where);
  const family = familyOfConfig(config, where);
  const architecture = architectureOf(config, family, where);
  const tokens = await tokensOf(folder, config, family);
  const weights = await openWeights(folder);
  try {
    await dropZeroOutputBias(weights, family, architecture.layers.length, folder);
    const root = rootOf(weights, family);
    const { normOffset, tensors: names } = family.huggingFace;
    return new ModelCheckpoint({
      name: basename(resolve(folder)),
      path: folder,
      files: [...sideFiles.map((name) => join(folder, name)), ...weights.paths],
      architecture,
      tokens,
      tokenizerFiles: () => tokenizerFiles(folder),
      names: () => weights.tensors.keys(),
      layerPrefix: `${root}layers.`,
      find(role) {
        const name = tensorName(names, role, root);
        return { name, stored: name === undefined ? undefined : weights.tensors.get(name) };
      },
      rearrangement: (role) => (/norm$/i.test(role) ? { offset: normOffset } : {}),
      close: weights.close,
    });
  } catch (error) {
    await weights.close();
    throw error;
  }
}

/** Where the language model hangs in this checkpoint: multimodal ones nest it. */
function rootOf(weights: Weights, family: Family): string {
  const { roots, tensors } = family.huggingFace;
  return roots.find((root) => weights.tensors.has(tensors.embedding.replace('{root}', root))) ?? roots[0]!;
}

/** With `attention_bias`, transformers adds one to the output matrix too. Foldgate computes without: right only if it is zero. */
async function dropZeroOutputBias(
  weights: Weights,
  family: Family,
  layers: number,
  folder: string,
): Promise<void> {
  for (let layer = 0; layer < layers; layer++) {
    const matrix = tensorName(
      family.huggingFace.tensors,
      `layers.${layer}.attention.output`,
      rootOf(weights, family),
    );
    const bias = weights.tensors.get(matrix?.replace(/weight$/, 'bias') ?? '');
    if (!bias) continue;
    const values = await bias.readRows(0, bias.shape[0] ?? 1);
    if (values.some((value) => value !== 0)) {
      throw new InvalidDataError(
        `${folder} has a bias on attention's output (${bias.name}), which Foldgate cannot fold. Use a model without.`,
      );
    }
    weights.tensors.delete(bias.name);
  }
}

export async function tokenizerFiles(folder: string): ReturnType<Checkpoint['tokenizerFiles']> {
  const tokenizer = await readOptional(folder, 'tokenizer.json', limits.tokenizerBytes);
  if (!tokenizer) {
    throw new NotFoundError(
      `${join(folder, 'tokenizer.json')} does not exist. Fetch it, or write it with transformers: ` +
        'AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER).',
    );
  }
  const config = await readOptional(folder, 'tokenizer_config.json', limits.configBytes);
  return { 'tokenizer.json': tokenizer, ...(config && { 'tokenizer_config.json': config }) };
}
