import { mkdir, readdir, rm } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { defaultCacheFolder } from '../../../artifact/cache.ts';
import { withFileLock } from '../../../artifact/file-lock.ts';
import { shardNames } from '../huggingface/shards.ts';
import { readAll } from '../json.ts';
import { limits } from '../limits.ts';
import { chooseFiles, chooseGguf, chooseShards, indexName, isCheckpointFile } from './choose.ts';
import { digestOf, download, sizeOf } from './download.ts';
import { connectHub, type Hub, type HubFile, TransientHubError } from './hub.ts';
import { isMarked, removeMark, setMark } from './mark.ts';
import { parsePullSpec, pullFolder } from './spec.ts';

export interface PullOptions {
  /** Folder to download into. @default checkpoints/ORG/NAME in Foldgate's cache */
  to?: string | undefined;
  /** Path of a GGUF file in the repository, instead of safetensors. */
  gguf?: string | undefined;
  /** Bytes that are there of bytes to come; `label` says what for. */
  onProgress?: ((label: string, done: number, total: number) => void) | undefined;
  /** Something worth a line: the hub is away, what was pulled before is used. */
  onNotice?: ((message: string) => void) | undefined;
  signal?: AbortSignal | undefined;
  /** Wait before a failed download is taken up again, doubled each time. @default 500 */
  firstWaitMs?: number | undefined;
}

/**
 * Brings a checkpoint from the Hugging Face hub to the local disk; files that are there and unchanged are kept.
 * @param spec hf:ORG/NAME or hf:ORG/NAME\@REVISION
 * @returns the path to open: a folder, or a GGUF file
 * @throws UsageError, NotFoundError, InvalidDataError (a wrong hash), TransientHubError (the network)
 */
export async function pullCheckpoint(spec: string, options: PullOptions = {}): Promise<string> {
  const parsed = parsePullSpec(spec);
  const folder = options.to ?? join(defaultCacheFolder(), pullFolder(parsed));
  const hub = connectHub(parsed, options.signal);
  await mkdir(folder, { recursive: true });
  return withFileLock(join(folder, '.pull.lock'), () => pullInto(folder, hub, spec, options), options.signal);
}

async function pullInto(folder: string, hub: Hub, spec: string, options: PullOptions): Promise<string> {
  const mark = { spec, gguf: options.gguf };
  const path = options.gguf === undefined ? folder : join(folder, basename(options.gguf));
  let files: HubFile[];
  try {
    files = await hub.list();
  } catch (error) {
    // A model that is here can be folded and served without the network.
    if (!(error instanceof TransientHubError && (await isMarked(folder, mark)))) throw error;
    options.onNotice?.(`${error.message} Using what was pulled before: ${path}`);
    return path;
  }
  if (options.gguf !== undefined) {
    await fetchAll(folder, hub, [chooseGguf(files, options.gguf, spec)], spec, options);
  } else {
    await fetchFolder(folder, hub, files, spec, options);
  }
  await setMark(folder, mark);
  return path;
}

async function fetchFolder(
  folder: string,
  hub: Hub,
  files: HubFile[],
  spec: string,
  options: PullOptions,
): Promise<void> {
  const chosen = chooseFiles(files, spec);
  await fetchAll(folder, hub, chosen, spec, options);
  if (chosen.some(({ path }) => path === indexName)) {
    const index = join(folder, indexName);
    const names = shardNames(await readAll(index, limits.indexBytes), index);
    const shards = chooseShards(files, names, spec);
    await fetchAll(folder, hub, shards, spec, options);
    chosen.push(...shards);
  }
  await removeOthers(folder, chosen);
}

/** An index or a chat template that an earlier revision had would be read along with this one's files. */
async function removeOthers(folder: string, chosen: HubFile[]): Promise<void> {
  const wanted = new Set(chosen.map(({ path }) => path));
  for (const name of await readdir(folder)) {
    if (!isCheckpointFile(name) || wanted.has(name)) continue;
    await removeMark(folder);
    await rm(join(folder, name), { force: true });
  }
}

async function fetchAll(
  folder: string,
  hub: Hub,
  files: HubFile[],
  spec: string,
  options: PullOptions,
): Promise<void> {
  const total = files.reduce((sum, file) => sum + file.bytes, 0);
  let before = 0;
  for (const file of files) {
    const path = join(folder, basename(file.path));
    const onProgress = (bytes: number) => options.onProgress?.(`Fetching ${spec}`, before + bytes, total);
    const there =
      (await sizeOf(path)) === file.bytes && (await digestOf(path, file).catch(() => '')) === file.digest.hex;
    if (!there) {
      await removeMark(folder);
      await download(hub, file, path, {
        onProgress,
        signal: options.signal,
        firstWaitMs: options.firstWaitMs,
      });
    }
    before += file.bytes;
  }
}
