import { text as readAll } from 'node:stream/consumers';
import { Command } from 'commander';
import { withResource } from '../../artifact/dispose.ts';
import { UsageError } from '../../artifact/errors.ts';
import type { LoadedModel } from '../../functions/model/loaded-model.ts';
import { parseBetween, parseCount, parseInteger, parseShare } from '../parse.ts';
import { byteProgress } from '../progress.ts';
import { addEngineOptions, type EngineFlags, engineOptions } from '../serve-options.ts';
import { interruptSignal } from '../signal.ts';

interface Flags extends EngineFlags {
  maxTokens: number;
  temperature?: number;
  topP?: number;
  topK?: number;
  minP?: number;
  repetitionPenalty?: number;
  seed?: number;
  chat?: boolean;
  raw?: boolean;
  draft?: string;
  stats?: boolean;
}

export function runCommand(): Command {
  const command = new Command('run')
    .summary('let a model write, here in the terminal')
    .description('Runs a model on one prompt and prints what it writes, as it writes.')
    .argument('<model>', 'STORE/NAME: file:./models/NAME, ./models/NAME or s3://BUCKET/PREFIX/NAME')
    .argument('<prompt>', 'the text to go on from or to answer; - reads it from stdin')
    .option('--max-tokens <count>', 'stop after so many', parseCount, 256)
    .option('--temperature <number>', '0 always takes the likeliest token (*)', parseBetween(0, 2))
    .option('--top-p <share>', 'draw from the likeliest tokens that sum to this (*)', parseShare)
    .option('--top-k <count>', 'draw from the k likeliest tokens, 0 for all (*)', parseInteger)
    .option('--min-p <share>', 'draw from tokens this likely, relative to the likeliest (*)', parseShare)
    .option(
      '--repetition-penalty <number>',
      'makes tokens that were there less likely, 1 for none (*)',
      parseBetween(0.01, 100),
    )
    .option('--seed <number>', 'same seed, same text', parseInteger)
    .option('--chat', 'the prompt is a message to answer (default where the model has a chat template)')
    .option('--raw', 'the prompt is a text to go on from');
  return addEngineOptions(command)
    .option(
      '--draft <name>',
      'a model in the same store, folded further, that guesses tokens where that pays',
    )
    .option('--stats', 'print tokens and speed to stderr')
    .addHelpText(
      'after',
      `
(*) By default as the model's generation_config.json says, else temperature 1 and nothing cut off.

Examples:
  foldgate run ./models/tales "Once upon a time" --temperature 0.7
  foldgate run s3://bucket/smol - --chat --stats < question.txt`,
    )
    .action(run);
}

async function run(url: string, prompt: string, flags: Flags): Promise<void> {
  if (flags.chat && flags.raw) throw new UsageError('--chat and --raw exclude each other.');
  if (flags.draft && !flags.speculation)
    throw new UsageError('--draft and --no-speculation exclude each other.');
  const { openModelUrl } = await import('../../artifact/store/open.ts');
  const { loadModel } = await import('../../functions/model/load-model.ts');
  // Before Ctrl-C is taken over: whoever waits for input to end should be able to leave.
  const given = prompt === '-' ? await readAll(process.stdin) : prompt;
  const signal = interruptSignal();
  const { store, name } = await openModelUrl(url);
  const show = byteProgress();
  // Blobs that are here already are no news.
  const onProgress = (done: number, total: number) => {
    if (process.stderr.isTTY) show.update('Fetching the model', done, total);
  };
  const options = {
    ...engineOptions(flags),
    draft: flags.draft,
    signal,
    onProgress,
    slots: 1,
    prefixCacheBytes: 0,
    storedPrefixes: false,
  };
  const model = await loadModel(store, name, options).finally(show.finish);
  await withResource(model.engine, () => write(model, given, flags, signal));
}

async function write(model: LoadedModel, given: string, flags: Flags, signal: AbortSignal): Promise<void> {
  const { generateText } = await import('../../functions/model/generate.ts');
  const { usualSampling } = await import('../../functions/model/loaded-model.ts');
  const { encodeChat, encodePrompt } = await import('../../functions/model/prompt.ts');
  const chat = flags.raw ? false : (flags.chat ?? model.chatTemplate !== undefined);
  if (chat && !model.chatTemplate)
    throw new UsageError(
      `${model.chatTemplateProblem ?? `${model.name} has no chat template: it was never taught to chat.`} Use --raw.`,
    );
  const tokens = chat
    ? await encodeChat(model, [{ role: 'user', content: given }])
    : await encodePrompt(model, given, { param: 'prompt', addSpecialTokens: true });
  const usual = usualSampling(model);
  const request = {
    prompt: tokens,
    promptParam: 'prompt',
    echo: '',
    maxTokens: flags.maxTokens,
    sampling: {
      temperature: flags.temperature ?? usual.temperature,
      topP: flags.topP ?? usual.topP,
      topK: flags.topK ?? usual.topK,
      minP: flags.minP ?? usual.minP,
      repetitionPenalty: flags.repetitionPenalty ?? usual.repetitionPenalty,
      ...(flags.seed !== undefined && { seed: flags.seed }),
    },
    stop: [],
    ignoreEos: false,
    continues: !chat && given !== '',
    stream: true,
  };
  // A reader that has enough (`| head`) ends the run; it is no error.
  let isRead = true;
  process.stdout.on('error', () => {
    isRead = false;
  });
  let made = 0;
  for await (const delta of generateText(model, request, signal)) {
    if (!isRead) break;
    process.stdout.write(delta.text);
    made += delta.tokens;
    if (!delta.finish) continue;
    process.stdout.write('\n');
    if (flags.stats && delta.timings) process.stderr.write(stats(tokens.length, made, delta.timings));
  }
}

function stats(
  prompt: number,
  made: number,
  { prefill, decode }: { prefill: number; decode: number },
): string {
  const speed = (tokens: number, ms: number) =>
    `${tokens} tokens in ${ms.toFixed(0)} ms, ${((tokens * 1000) / ms).toFixed(1)} a second`;
  // The first token comes out of the prompt's own pass.
  return `\nprompt: ${speed(prompt, prefill)}\ncompletion: ${speed(Math.max(made - 1, 0), decode)}\n`;
}
