import { existsSync } from 'node:fs';
import { mkdir, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { type CacheType, readerOf } from '../../artifact/decoder/decoder-options.ts';
import { type PromptWeights, withPromptWeights } from '../../artifact/decoder/prompt-weights.ts';
import { bytesOf } from '../../artifact/manifest.ts';
import { readManifest } from '../../artifact/models/read.ts';
import { openModelUrl } from '../../artifact/store/open.ts';
import { foldgateServer, run, type ServerCommand } from './process.ts';

export type Bits = 4 | 8;

/** One form of a model, in the form that one engine runs. */
export interface Contender {
  name: string;
  engine: 'llama.cpp' | 'foldgate';
  /** Bits of embedding and head. */
  head: Bits;
  /** A GGUF file, or the URL of a folded model. */
  model: string;
  /** On the disk. */
  bytes: number;
  /** What it keeps keys and values in. @default the engine's own */
  kvCache?: CacheType | undefined;
  /** What a folded model reads prompts with. */
  promptWeights?: PromptWeights | undefined;
}

/** How a folded model runs. */
export type FoldedForm = Pick<Contender, 'kvCache' | 'promptWeights'>;

export interface Making {
  checkpoint: string;
  heads: readonly Bits[];
  /** Where the forms are kept: each is made once. */
  folder: string;
  /** Of llama.cpp. */
  programs: string;
  /** How Foldgate rounds and ranks; speed and memory depend on neither. @default its defaults */
  foldOptions?: { unfolded: readonly string[]; folded: readonly string[] };
}

/** Removes a fifth of the layers and lets three neighbours share a block. */
const folded = ['--remove', '0.2', '--share', '3'];

const measured = { unfolded: [], folded: ['--rank', 'loss', '--calibration-tokens', '1024'] } as const;

/** Where `load/peers/llama-cpp.sh` puts llama.cpp's programs. */
export const ownPrograms = '.cache/peers/llama.cpp/build/bin';

/** The command line as the package runs it; `npm run build` first. */
export const foldgate = (...args: string[]) => run(process.execPath, ['load/peers/built.mjs', ...args]);

/** The model in each form. llama.cpp's is Q4_0, whose kernels are its fastest. */
export async function contenders(making: Making): Promise<Contender[]> {
  const { checkpoint, heads, folder, foldOptions = measured } = making;
  await mkdir(folder, { recursive: true });
  const base = basename(checkpoint).replace(/\.gguf$/, '');
  const list: Contender[] = [];
  for (const head of heads) {
    const file = join(folder, `${base}-q4_0-head${head}.gguf`);
    if (!existsSync(file)) await toQ40(making, head, file);
    const { size: bytes } = await stat(file);
    list.push({ name: `llama.cpp Q4_0, int${head} head`, engine: 'llama.cpp', head, model: file, bytes });
    for (const [form, options] of [
      ['unfolded', foldOptions.unfolded],
      ['folded', [...folded, ...foldOptions.folded]],
    ] as const) {
      const name = `${base}-${form}-head${head}`;
      const url = `file:${folder}/${name}`;
      const quantize = `int4:128,embedding=int${head}:128`;
      if (!existsSync(`${folder}/models/${name}/current.json`))
        await foldgate('fold', checkpoint, '--quantize', quantize, ...options, '--no-quality', '--out', url);
      list.push(await foldgateContender(`foldgate int4, int${head} head, ${form}`, url, head));
    }
  }
  return list;
}

/**
 * A folded model of one's own.
 * @throws UsageError for an int8 cache, or weights for prompts, of one that was folded without
 */
export async function foldgateContender(
  name: string,
  url: string,
  head: Bits,
  { kvCache, promptWeights = 'same' }: FoldedForm = {},
): Promise<Contender> {
  const { store, name: model } = await openModelUrl(url);
  const published = await readManifest(store, model);
  const manifest = withPromptWeights(published.manifest, promptWeights);
  readerOf(manifest, kvCache);
  return {
    name,
    engine: 'foldgate',
    head,
    model: url,
    bytes: bytesOf(manifest),
    kvCache,
    promptWeights,
  };
}

async function toQ40({ checkpoint, programs }: Making, head: Bits, file: string): Promise<void> {
  const form = head === 4 ? ['--pure'] : ['--token-embedding-type', 'q8_0', '--output-tensor-type', 'q8_0'];
  await run(join(programs, 'llama-quantize'), ['--allow-requantize', ...form, checkpoint, file, 'Q4_0']);
}

export interface ServerOptions {
  programs: string;
  port: number;
  threads: string;
  /** Left out, the server is started as anybody starts it. */
  limits?: { slots: number; context: number } | undefined;
}

/** How to start a contender's server; its model's name is in `model`. */
export function serverOf(contender: Contender, options: ServerOptions): ServerCommand & { model: string } {
  const { programs, port, threads, limits } = options;
  if (contender.engine === 'foldgate') {
    const model = contender.model.split('/').at(-1)!;
    const store = contender.model.slice(0, -model.length - 1);
    const flags = {
      ...(limits && { context: String(limits.context), slots: String(limits.slots) }),
      ...(contender.kvCache && { 'kv-cache': contender.kvCache }),
      ...(contender.promptWeights && { 'prompt-weights': contender.promptWeights }),
    };
    return { ...foldgateServer(store, model, port, { threads, ...flags }), model };
  }
  // Its context is shared out among the slots.
  const flags = limits ? ['-c', String(limits.context * limits.slots), '-np', String(limits.slots)] : [];
  return {
    program: join(programs, 'llama-server'),
    args: ['-m', contender.model, '-t', threads, ...flags, '--port', String(port)],
    url: `http://127.0.0.1:${port}`,
    path: '/health',
    model: 'model',
  };
}
