import { z } from 'zod';
import { InvalidDataError } from '../../../artifact/errors.ts';
import { samplingSchema } from '../../../artifact/manifest.ts';
import type { Checkpoint } from '../checkpoint.ts';
import type { Family } from '../family.ts';
import { isObject, parseObject, readOptional } from '../json.ts';
import { limits } from '../limits.ts';

const id = z.int().min(0).max(limits.dimension);
const idsSchema = z.object({
  bos_token_id: z.union([id, z.array(id).max(64)]).nullish(),
  eos_token_id: z.union([id, z.array(id).max(64)]).nullish(),
});

/** Which tokens begin and end texts, and how conversations are written. */
export async function tokensOf(
  folder: string,
  config: Record<string, unknown>,
  family: Family,
): Promise<Checkpoint['tokens']> {
  const read = async (name: string) => {
    const bytes = await readOptional(folder, name, limits.configBytes);
    return bytes && parseObject(bytes, `${folder}/${name}`);
  };
  const generation = (await read('generation_config.json')) ?? {};
  const text = isObject(config.text_config) ? config.text_config : {};
  // Each may hold one that the others lack: a chat model's end of turn, the base model's end of text.
  const sources = [generation, config, text].map((source) => parseIds(source, folder));
  /** A field that no file has means the family's token, as in transformers; null means that there is none. */
  const idsOf = (field: keyof z.infer<typeof idsSchema>) => {
    const given = sources.map((source) => source[field]).filter((ids) => ids !== undefined);
    const all = given.length > 0 ? given : [parseIds(family.huggingFace.defaults, folder)[field]];
    return all.flatMap((ids) => ids ?? []);
  };
  return {
    bos: idsOf('bos_token_id')[0],
    eos: [...new Set(idsOf('eos_token_id'))],
    ...samplingOf(generation, folder),
    chatTemplate: await chatTemplateOf(folder, await read('tokenizer_config.json')),
  };
}

/** By the manifest's names. */
const samplingFields = {
  temperature: 'temperature',
  topP: 'top_p',
  topK: 'top_k',
  minP: 'min_p',
  repetitionPenalty: 'repetition_penalty',
} as const;

/** How its makers sample it. Where they decode greedily, what they say of drawing means nothing, as in transformers. */
function samplingOf(
  generation: Record<string, unknown>,
  folder: string,
): Pick<Checkpoint['tokens'], 'sampling'> {
  const given = Object.entries(samplingFields)
    .map(([name, field]) => [name, generation[field]] as const)
    .filter(
      ([name, value]) => value != null && (name === 'repetitionPenalty' || generation.do_sample !== false),
    );
  if (given.length === 0) return {};
  const parsed = samplingSchema.safeParse(Object.fromEntries(given));
  if (parsed.success) return { sampling: parsed.data };
  throw new InvalidDataError(
    `${folder}: wrong sampling in generation_config.json:\n${z.prettifyError(parsed.error)}`,
  );
}

function parseIds(source: Record<string, unknown>, folder: string) {
  const parsed = idsSchema.safeParse(source);
  if (parsed.success) return parsed.data;
  throw new InvalidDataError(
    `${folder}: wrong token ids in config.json or generation_config.json:\n${z.prettifyError(parsed.error)}`,
  );
}

/** A file of its own, or a field of tokenizer_config.json: one template or a list of named ones. */
async function chatTemplateOf(
  folder: string,
  config: Record<string, unknown> = {},
): Promise<string | undefined> {
  const file = await readOptional(folder, 'chat_template.jinja', limits.configBytes);
  if (file) return new TextDecoder().decode(file);
  const { chat_template: template } = config;
  if (typeof template === 'string') return template;
  if (!Array.isArray(template)) return undefined;
  const named = template.filter(isObject);
  const chosen = named.find(({ name }) => name === 'default') ?? named[0];
  return typeof chosen?.template === 'string' ? chosen.template : undefined;
}
