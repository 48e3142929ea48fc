import { Command, Option } from 'commander';
import { cacheTypes } from '../../artifact/decoder/decoder-options.ts';
import { promptWeightChoices } from '../../artifact/decoder/prompt-weights.ts';
import { UsageError } from '../../artifact/errors.ts';
import { addDeviceOption } from '../device-option.ts';
import { defaultTokens, type GenerateFlags, generate } from '../eval/generate.ts';
import type { Measurement } from '../eval/measurement.ts';
import { type FoldedFlags, withModel } from '../eval/open-model.ts';
import { defaultWindow, type PerplexityFlags, perplexity } from '../eval/perplexity.ts';
import { type TaskFlags, task } from '../eval/task.ts';
import { parseCount, parseInteger } from '../parse.ts';
import { progress } from '../progress.ts';
import { interruptSignal } from '../signal.ts';

export function evalCommand(): Command {
  return addDeviceOption(new Command('eval'))
    .summary('measure a folded model or a checkpoint: perplexity, tasks, how it writes')
    .description('Measures a folded model or a checkpoint: on a text, on a task, or by what it writes.')
    .argument('<model>', 'URL of a folded model, Hugging Face folder or GGUF file')
    .option('--text <file>', 'perplexity on this UTF-8 text')
    .option('--task <file>', 'score on these questions, as JSON lines')
    .option(
      '--generate [file]',
      'repetition in what it writes on from these prompts (default: built-in ones)',
    )
    .option(
      '--window <tokens>',
      `with --text: tokens that are read together (default: ${defaultWindow}, or the model's context where that is shorter)`,
      parseInteger,
    )
    .option('--stride <tokens>', 'with --text: from one window to the next (default: no overlap)', parseCount)
    .addOption(
      new Option(
        '--bos <where>',
        'with --stride: what begins as the tokenizer begins a text, every window or the first (default: first)',
      ).choices(['each', 'first']),
    )
    .option(
      '--tokens <count>',
      `with --text: stop after this many (default: the whole text); with --generate: write this many (default: ${defaultTokens})`,
      parseCount,
    )
    .option('--limit <items>', 'with --task: the first so many alone', parseCount)
    .option(
      '--delimiter <text>',
      'with --task: stands before each choice (default: a space, unless there is white space)',
    )
    .option('--teacher <model>', 'with --generate: compare with this model, the checkpoint for example')
    .addOption(
      new Option(
        '--kv-cache <type>',
        'of a folded model: what it keeps keys and values in (default: float32); see "foldgate serve --help"',
      ).choices([...cacheTypes]),
    )
    .addOption(
      new Option(
        '--prompt-weights <what>',
        'of a folded model: what it reads with that needs no logits, of --text with --stride, of questions and prompts ' +
          '(default: auto); see "foldgate serve --help"',
      ).choices([...promptWeightChoices]),
    )
    .option('--json', 'print one JSON object')
    .addHelpText('after', help)
    .action(evaluate);
}

const help = `
A checkpoint runs in float32, a folded model with its own weights and kernels.

--text: the text is cut into windows that do not overlap; each begins as the tokenizer begins any text. Of
each window all tokens but the first are predicted. nll is their mean negative log-likelihood in nats, and
perplexity its exponential. With --stride windows overlap as on transformers' page on perplexity: what an
earlier window held is context and not counted. JSON: {perplexity, nll, tokens}, with --stride
{window, stride, bos} too.

--task: each line is {"query", "choices", "gold"}, gold the right choice's index, or {"context",
"continuation"}. Scores are those of the Language Model Evaluation Harness, with no examples given before:
a choice's log-likelihood is summed over its tokens, and the largest wins; accuracyNorm divides by the
choice's characters (harness: acc_norm), accuracyBytes by its bytes. A continuation is right where each of
its tokens is the likeliest; perplexity is that of whole continuations. stderr is sqrt(p (1 - p) / (n - 1)).
JSON: {accuracy, accuracyNorm, stderr, items}, then accuracyBytes or perplexity, and truncated.

--generate: the file has one prompt a line, or JSON lines with a prompt (.jsonl). The likeliest token is
always taken. Means over texts: distinct1 to 3, the share of different runs of 1 to 3 tokens; repeated4, of
runs of 4 seen before; loops, of texts that end by saying the same three times. --teacher reads what was
written, once, so a checkpoint will do: prefixShare and meanPrefix tell how far its own greedy text would be
the same, nextToken how often it would choose the next token likewise. A checkpoint as the model itself
runs once for every token: fold it with --quantize none where that takes too long.

Examples:
  foldgate eval file:./models/tales --text heldout.txt --json
  foldgate eval ./SmolLM2-135M --text wiki.txt --window 1024 --stride 512
  foldgate eval file:./models/smol --task piqa.jsonl --delimiter $'\\nAnswer: ' --limit 200
  foldgate eval file:./models/smol --generate --tokens 128 --teacher ./SmolLM2-135M`;

type Flags = Partial<PerplexityFlags & TaskFlags & GenerateFlags> & FoldedFlags;

/** What each way of measuring takes beside `--json`. */
const takes: Record<'text' | 'task' | 'generate', (keyof Flags)[]> = {
  text: ['window', 'stride', 'bos', 'tokens'],
  task: ['limit', 'delimiter'],
  generate: ['tokens', 'teacher'],
};

async function evaluate(path: string, flags: Flags): Promise<void> {
  const measure = await measurementOf(flags);
  const show = progress();
  const signal = interruptSignal();
  const { kvCache, promptWeights } = flags;
  const output = await withModel(path, { signal, kvCache, promptWeights }, (model) =>
    measure(model, show, signal),
  ).finally(show.finish);
  process.stdout.write(output);
}

function measurementOf(flags: Flags): Promise<Measurement> {
  const way = wayOf(flags);
  if (way === 'text') return perplexity(flags as PerplexityFlags);
  if (way === 'task') return task(flags as TaskFlags);
  return generate(flags as GenerateFlags);
}

/** @throws UsageError where none or several are asked for, or options of another */
function wayOf(flags: Flags): keyof typeof takes {
  const ways = Object.keys(takes) as (keyof typeof takes)[];
  const [way, ...others] = ways.filter((name) => flags[name] !== undefined);
  if (way === undefined || others.length > 0) {
    const given =
      way === undefined ? 'none was given' : `not ${[way, ...others].map((n) => `--${n}`).join(' and ')}`;
    throw new UsageError(`One of --text, --task and --generate is expected, ${given}.`);
  }
  const foreign = ways
    .flatMap((name) => takes[name])
    .find((option) => flags[option] !== undefined && !takes[way].includes(option));
  if (foreign !== undefined) throw new UsageError(`--${foreign} has no meaning with --${way}.`);
  return way;
}
