import { NotFoundError, UsageError } from '../../../artifact/errors.ts';
import type { HubFile } from './hub.ts';

export const indexName = 'model.safetensors.index.json';
const single = 'model.safetensors';
const required = ['config.json', 'tokenizer.json'];
const optional = ['tokenizer_config.json', 'generation_config.json', 'chat_template.jinja'];

/** Files that a reader of the folder would take for the checkpoint's, whichever pull brought them. */
export function isCheckpointFile(name: string): boolean {
  return (
    [...required, ...optional, single, indexName].includes(name) ||
    /^model-\d+-of-\d+\.safetensors$/.test(name)
  );
}

/** The files of a checkpoint besides the shards its index names, the small ones first. */
export function chooseFiles(files: HubFile[], where: string): HubFile[] {
  const byPath = new Map(files.map((file) => [file.path, file]));
  const weights = byPath.get(indexName) ?? byPath.get(single);
  if (!weights) throw new NotFoundError(`${where} has no safetensors. ${otherWeights(files)}`);
  const missing = required.find((name) => !byPath.has(name));
  if (missing !== undefined) throw new NotFoundError(`${where} has no ${missing}, which a checkpoint needs.`);
  return [...required, ...optional].flatMap((name) => byPath.get(name) ?? []).concat(weights);
}

function otherWeights(files: HubFile[]): string {
  const ggufs = namesOf(files, /\.gguf$/);
  if (ggufs.length > 0) return `Choose one of its GGUF files with --gguf: ${ggufs.join(', ')}.`;
  if (namesOf(files, /\.(bin|pth|pt)$/).length > 0) {
    return 'Its weights are PyTorch pickles, which can run code when read: look for a conversion to safetensors.';
  }
  return 'It is no language model, or stored in a form that Foldgate does not read.';
}

/** @throws UsageError naming the GGUF files there are */
export function chooseGguf(files: HubFile[], path: string, where: string): HubFile {
  const found = files.find((file) => file.path === path && path.endsWith('.gguf'));
  if (found) return found;
  const ggufs = namesOf(files, /\.gguf$/);
  throw new UsageError(
    `${where} has no GGUF file ${path}. ${ggufs.length > 0 ? `There are ${ggufs.join(', ')}.` : 'It has none.'}`,
  );
}

/** @throws NotFoundError where the index names a shard that is not there */
export function chooseShards(files: HubFile[], names: string[], where: string): HubFile[] {
  return names.map((name) => {
    const file = files.find(({ path }) => path === name);
    if (!file) throw new NotFoundError(`${where}: ${indexName} names ${name}, which the repository lacks.`);
    return file;
  });
}

function namesOf(files: HubFile[], pattern: RegExp): string[] {
  return files.map(({ path }) => path).filter((path) => pattern.test(path));
}
