import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import { fetchModel } from '../artifact/cache.ts';
import { type CacheType, readerOf } from '../artifact/decoder/decoder-options.ts';
import { type PromptWeights, withPromptWeights } from '../artifact/decoder/prompt-weights.ts';
import { UsageError } from '../artifact/errors.ts';
import { readManifest } from '../artifact/models/read.ts';
import { readTokenizerFiles } from '../artifact/models/tokenizer-files.ts';
import { computePrefix } from '../artifact/prefixes/compute.ts';
import { checkPrefixName } from '../artifact/prefixes/entry.ts';
import { publishPrefix } from '../artifact/prefixes/publish.ts';
import { sha256 } from '../artifact/store/digest.ts';
import { openModelUrl } from '../artifact/store/open.ts';
import { parseTokenizer } from '../artifact/tokenizer.ts';
import { leastReuse } from '../functions/engine/prefix-cache.ts';
import { message } from '../functions/gateway/schemas/chat.ts';
import { toolFields, toolsOf } from '../functions/gateway/schemas/tools.ts';
import { textModel } from '../functions/model/load-model.ts';
import type { PromptModel } from '../functions/model/loaded-model.ts';
import { tokensOfChat, tokensOfText } from '../functions/model/prefix-tokens.ts';
import packageJson from '../package.json' with { type: 'json' };

export interface AddOptions {
  /** A file of the text that completions begin with; this or `chat`. */
  text?: string | undefined;
  /** A JSON file of the messages that chats begin with. */
  chat?: string | undefined;
  /** @default the beginning of the tokens' sha256 */
  name?: string | undefined;
  threads?: number | undefined;
  /** What servers keep keys and values in. @default 'float32' */
  kvCache?: CacheType | undefined;
  /** What servers read prompts with. @default 'auto' */
  promptWeights?: PromptWeights | undefined;
  signal: AbortSignal;
  /** Tokens that are read, of how many. */
  onProgress?: (done: number, total: number) => void;
}

export interface AddedPrefix {
  name: string;
  tokens: number;
  bytes: number;
  computeMs: number;
}

/** Computes a prefix with a stored model, and publishes it beside that. @throws UsageError */
export async function addPrefix(url: string, options: AddOptions): Promise<AddedPrefix> {
  const { text, chat, signal } = options;
  if ((text === undefined) === (chat === undefined)) throw new UsageError('Give one of --text and --chat.');
  if (options.name !== undefined) checkPrefixName(options.name); // before the work, not after it
  const { store, name: model } = await openModelUrl(url);
  const { manifest: published, digest } = await readManifest(store, model, { signal });
  const manifest = withPromptWeights(published, options.promptWeights);
  readerOf(manifest, options.kvCache); // tells of missing scales before anything travels
  const local = await fetchModel(store, manifest, { signal });
  const folder = await mkdtemp(join(tmpdir(), 'foldgate-prefix-'));
  try {
    const { contextLength, vocabularySize } = manifest.dimensions;
    const tokenizer = parseTokenizer(await readTokenizerFiles(manifest, local), model);
    const prompts: PromptModel = {
      ...textModel(model, digest, manifest, tokenizer),
      engine: { limits: { contextLength, vocabularySize } },
    };
    const tokens =
      text === undefined
        ? await chatTokens(prompts, chat!)
        : await tokensOfText(prompts, await readFile(text, 'utf8'));
    if (tokens.length < leastReuse) {
      throw new UsageError(
        `${text ?? chat} makes ${tokens.length} tokens. Beginnings of less than ${leastReuse} are computed as quickly.`,
      );
    }
    const file = join(folder, 'prefix');
    const entry = await computePrefix({ manifest, graphPath: local.graphPath }, tokens, file, {
      threads: options.threads ?? availableParallelism(),
      kvCache: options.kvCache,
      version: packageJson.version,
      signal,
      onProgress: options.onProgress,
    });
    const name = options.name ?? sha256(Buffer.from(entry.tokens.join())).slice(0, 12);
    await publishPrefix(store, model, name, entry, file, { signal });
    return { name, tokens: entry.tokens.length, bytes: entry.blob.bytes, computeMs: entry.computeMs };
  } finally {
    await rm(folder, { recursive: true, force: true });
    await local.release();
  }
}

const messagesSchema = z.array(message).min(1);
const chatSchema = z.preprocess(
  (json) => (Array.isArray(json) ? { messages: json } : json),
  z.object({ messages: messagesSchema, ...toolFields }),
);

/** @throws UsageError for a file that holds no messages; PromptError */
async function chatTokens(model: PromptModel, path: string): Promise<number[]> {
  let json: unknown;
  try {
    json = JSON.parse(await readFile(path, 'utf8'));
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    throw new UsageError(`${path} is no JSON; an array of messages is expected.`, { cause: error });
  }
  const body = chatSchema.safeParse(json);
  if (!body.success) throw new UsageError(`${path} holds no messages:\n${z.prettifyError(body.error)}`);
  const tools = toolsOf(body.data).map(({ source }) => source);
  return await tokensOfChat(model, body.data.messages, tools.length > 0 ? tools : undefined);
}
