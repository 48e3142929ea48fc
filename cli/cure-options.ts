import { basename } from 'node:path';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { UsageError } from '../artifact/errors.ts';
import { type Coding, codings } from '../compressor/coding/coder.ts';
import { methods } from '../compressor/methods/index.ts';
import type { MakeStudentOptions } from '../compressor/student/make-student.ts';
import {
  type CuredPart,
  checkPart,
  curedParts,
  decisive,
  heldOutShare,
} from '../compressor/train/cure-options.ts';
import { parseCount, parseInteger, parseNumber, parseShare } from './parse.ts';
import { formatBytes, type Progress } from './progress.ts';

/** Options of the distillation that repairs a fold. */
export interface CureFlags {
  method?: string;
  data?: string[];
  cureTokens?: number;
  cureTrain: CuredPart;
  crossEntropy?: number;
  learningRate?: number;
  tail: number;
  balanceTail?: true;
  optimizer: Pick<Cure, 'sparseGradients'>;
  seed: number;
  quantizeAware?: number;
  coding: Coding;
}

/** Tokens of a cure where there is text to train on and nothing says how many. */
const usualTokens = 100_000;

export function addCureOptions(command: Command): Command {
  return command
    .option('--data <files...>', 'text or JSON lines to distil on (see below): the fold is cured')
    .option(
      '--cure-tokens <count>',
      `tokens to distil on (default: the method's, else ${usualTokens}; 0 for none)`,
      parseInteger,
    )
    .addOption(
      new Option(
        '--cure-train <part>',
        'what the cure trains: the whole model; all but embedding and head; norms and --adapter; norms alone',
      )
        .choices([...curedParts])
        .default('all'),
    )
    .option(
      '--cross-entropy <share>',
      "share of the cure's loss that is the text's own next tokens; the rest is the checkpoint's probabilities " +
        "(default: the method's, else 0)",
      parseShare,
    )
    .option(
      '--learning-rate <rate>',
      "highest of the cure (default: the method's, else 3e-4, for norms and adapters 1e-3)",
      parseNumber,
    )
    .option(
      '--tail <layers>',
      "last layers that are drawn to the checkpoint's states as well",
      parseInteger,
      0,
    )
    .option(
      '--balance-tail',
      'let those states count as much as the probabilities, whatever the two losses are',
    )
    .addOption(optimizerOption())
    .option('--seed <number>', "order of the cure's data", parseCount, 1)
    .addOption(codingOption())
    .option(
      '--quantize-aware <tokens>',
      'tokens to distil on after that, with the weights rounded as they will be stored; kept if it does better ' +
        "(default: the method's, else 0)",
      parseInteger,
    );
}

/** Of `fold` and `train`. */
export function codingOption(): Option {
  return new Option(
    '--coding <name>',
    'how saved states of the training are coded, losslessly: as they are, which is fastest; by zstd, a sixth less; by a range coder ' +
      'with a learned prior, a little less still, at a few MB/s',
  )
    .choices([...codings])
    .default('none');
}

/** Share of the coordinates that SparseGrad keeps where nothing says otherwise: what its paper found to matter. */
const usualShare = 0.01;

function optimizerOption(): Option {
  return new Option(
    '--optimizer <name>',
    "adamw, or sparsegrad[:SHARE]: the MLP matrices' gradients are followed along a share of their coordinates alone, " +
      `in a basis found first (default share: ${usualShare}); less memory, smaller states`,
  )
    .argParser((text) => {
      if (text === 'adamw') return {};
      const [name, share = `${usualShare}`, ...others] = text.split(':');
      if (name !== 'sparsegrad' || others.length > 0)
        throw new InvalidArgumentError('adamw or sparsegrad[:SHARE] is expected.');
      const value = parseShare(share);
      if (value === 0) throw new InvalidArgumentError('A share above 0 is expected.');
      return { sparseGradients: value };
    })
    .default({}, 'adamw');
}

/** What a cure trains for: both parts of its loss together weigh 1. @param share of the text's own tokens */
export function lossWeights(share: number): { crossEntropy: number; divergence: number } {
  return { crossEntropy: share, divergence: 1 - share };
}

/** For the end of `--help`. */
export const cureHelp = `
The cure trains the folded model to give the checkpoint's own probabilities (forward KL) on the text of --data:
files of UTF-8 text, or .jsonl with {"text"} or {"messages"} a line. A hundredth of it is never trained on and
measured on instead. An interrupted cure goes on where it was when the same command runs again. Where nothing is
folded, there is no cure unless --cure-tokens or --cross-entropy asks for one.
`;

function crossEntropyOf({ crossEntropy, method }: Partial<CureFlags>): number {
  return crossEntropy ?? methods[method ?? '']?.crossEntropy ?? 0;
}

type Cure = NonNullable<MakeStudentOptions['cure']>;

/** @throws UsageError for a cure without text */
export function cureOf(flags: Partial<CureFlags>, show: Progress): Cure | undefined {
  const method = methods[flags.method ?? ''];
  const asked = flags.cureTokens ?? method?.cureTokens ?? usualTokens;
  if (!flags.data) {
    if ((flags.cureTokens ?? 0) > 0)
      throw new UsageError('--cure-tokens needs text to train on: give --data.');
    if (asked > 0 && method)
      process.stderr.write(`${flags.method} ends with a cure on text: without --data it is left out.\n`);
    return undefined;
  }
  if (asked < 0) throw new UsageError(`--cure-tokens takes 0 or more, not ${asked}.`);
  if (asked === 0) return undefined;
  const part = flags.cureTrain ?? 'all';
  if (flags.balanceTail && !flags.tail)
    throw new UsageError('--balance-tail weighs the states of --tail: say how many layers that is.');
  checkPart({ part, ...flags.optimizer });
  const learningRate = flags.learningRate ?? method?.learningRate;
  return {
    data: flags.data,
    tokens: asked,
    part,
    ...lossWeights(crossEntropyOf(flags)),
    tailLayers: flags.tail ?? 0,
    ...(flags.balanceTail && { balanceTail: flags.balanceTail }),
    seed: flags.seed ?? 1,
    heldOutShare,
    coding: flags.coding ?? 'none',
    ...flags.optimizer,
    ...(learningRate !== undefined && { learningRate }),
    ...trainingProgress('Curing', show),
  };
}

/** A tenth of the way is left then: it takes smaller steps than the cure. */
const awareRate = 1e-4;

/** Training to round well. @throws UsageError where there is no text for it */
export function awareOf(flags: Partial<CureFlags> & { quantize?: string }, show: Progress): Cure | undefined {
  const { data, quantizeAware, learningRate, seed = 1 } = flags;
  // A method's own is left out where there is nothing to train on, or to round.
  const ofMethod = data && flags.quantize !== 'none' ? methods[flags.method ?? '']?.quantizeAware : 0;
  const tokens = quantizeAware ?? ofMethod ?? 0;
  if (tokens < 0) throw new UsageError(`--quantize-aware takes 0 or more, not ${tokens}.`);
  if (tokens === 0) return undefined;
  if (!data) throw new UsageError('--quantize-aware needs text to train on: give --data.');
  return {
    data,
    tokens,
    part: 'all',
    ...lossWeights(crossEntropyOf(flags)),
    seed,
    heldOutShare,
    coding: flags.coding ?? 'none',
    learningRate: learningRate === undefined ? awareRate : learningRate / 3,
    ...trainingProgress('Training to round well', show),
  };
}

/** Tells of memory, steps and measurements on stderr. */
export function trainingProgress(
  what: string,
  show: Progress,
): Pick<Cure, 'onMemory' | 'onPrepare' | 'onStep' | 'onHeldOut'> {
  return {
    onMemory({ total, available, saved }) {
      const less =
        saved === 0 ? '' : `, ${formatBytes(Math.abs(saved))} ${saved > 0 ? 'less' : 'more'} than by AdamW`;
      process.stderr.write(
        `${what} takes ${formatBytes(total)} of the ${formatBytes(available)} there are${less}.\n`,
      );
    },
    onPrepare: (done, total) => show.update('Choosing gradients to follow', done, total),
    onStep({ step, steps, loss, tokensPerSecond }) {
      show.update(what, step, steps, `loss ${loss.toFixed(3)}, ${tokensPerSecond.toFixed(0)} tokens/s`);
    },
    onHeldOut({ tokens, perplexity, teacherPerplexity }) {
      show.finish();
      const ratio = teacherPerplexity && `, ${(perplexity / teacherPerplexity).toFixed(3)}x the checkpoint's`;
      process.stderr.write(
        `  after ${tokens} tokens: held-out perplexity ${perplexity.toFixed(2)}${ratio ?? ''}\n`,
      );
    },
  };
}

/** What had a say, for the manifest: without the folders of this machine. */
export function recordedCure(
  cure: Cure | undefined,
  as: 'cure' | 'quantizeAware' = 'cure',
): Record<string, unknown> {
  if (!cure) return {};
  const { data, ...settings } = decisive(cure);
  return { [as]: { ...settings, data: data.map((path) => basename(path)) } };
}
