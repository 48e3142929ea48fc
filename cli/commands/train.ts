import { join } from 'node:path';
import { Command, Option } from 'commander';
import { UsageError } from '../../artifact/errors.ts';
import type { WrittenForm } from '../../compressor/checkpoint/huggingface/write.ts';
import type { Coding } from '../../compressor/coding/coder.ts';
import { codingOption, trainingProgress } from '../cure-options.ts';
import { addDeviceOption } from '../device-option.ts';
import { parseCount, parseInteger, parseNumber } from '../parse.ts';
import { progress } from '../progress.ts';
import { interruptSignal } from '../signal.ts';
import { formatCount } from '../table.ts';

interface Flags {
  data: string[];
  tokens: number;
  out: string;
  share: number;
  length?: number;
  tokensPerStep?: number;
  learningRate: number;
  weightDecay: number;
  warmup?: number;
  heldOut: number;
  seed: number;
  form: WrittenForm;
  coding: Coding;
  json?: boolean;
}

export function trainCommand(): Command {
  return addDeviceOption(new Command('train'))
    .summary('train a small model from nothing, to be folded')
    .description("Trains a model of a config.json's architecture from random weights.")
    .argument('<config>', 'folder with config.json and tokenizer.json, as of any Hugging Face model')
    .requiredOption('--data <files...>', 'text, or .jsonl with {"text"} or {"messages"} a line')
    .requiredOption('--tokens <count>', 'tokens to train on, passes over the data counted each', parseCount)
    .requiredOption('--out <folder>', 'where the checkpoint goes; its training/ has state and metrics')
    .option(
      '--share <layers>',
      'neighbouring layers that run one block from the first step on',
      parseInteger,
      1,
    )
    .option(
      '--length <tokens>',
      "of a sequence (default: 256, or the model's context where that is shorter)",
      parseCount,
    )
    .option('--tokens-per-step <count>', 'a multiple of the length (default: about 1024)', parseCount)
    .option(
      '--learning-rate <rate>',
      'at its highest, after the warm-up; falls along a cosine',
      parseNumber,
      3e-3,
    )
    .option('--weight-decay <rate>', 'of matrices', parseNumber, 0.1)
    .option(
      '--warmup <steps>',
      'until the learning rate is at its highest (default: a twentieth of all, 100 at most)',
      parseCount,
    )
    .option(
      '--held-out <share>',
      'of the documents, never trained on and measured on instead',
      parseNumber,
      0.01,
    )
    .option('--seed <number>', 'of the first weights and of the order of the data', parseCount, 1)
    .addOption(new Option('--form <type>', 'of the written weights').choices(['BF16', 'F32']).default('BF16'))
    .addOption(codingOption())
    .option('--json', 'print the result as JSON')
    .addHelpText('after', help)
    .action(train);
}

const help = `
The loss is the cross-entropy of each next token; all weights are trained, by AdamW in float32. What was
interrupted goes on where it was when the same command runs again, and ends with the same bits.

What is written is an ordinary Hugging Face folder: fold it, with --share as it was trained, or read it with
transformers.

Examples:
  foldgate train ./config --data stories.txt --tokens 20000000 --out ./checkpoints/stories
  foldgate train ./config --data stories.txt --tokens 20000000 --share 2 --out ./checkpoints/shared
  foldgate fold ./checkpoints/shared --share 2 --out file:./models/shared
`;

async function train(config: string, flags: Flags): Promise<void> {
  const { freshCheckpoint } = await import('../../compressor/checkpoint/huggingface/fresh.ts');
  const { writeHuggingFace } = await import('../../compressor/checkpoint/huggingface/write.ts');
  const { makePlan } = await import('../../compressor/plan/make-plan.ts');
  const { plannedStudent } = await import('../../compressor/student/planned-student.ts');
  const { cure } = await import('../../compressor/train/cure.ts');
  const { foldedSizes } = await import('../../compressor/plan/sizes.ts');
  const { parsePrecision, resolvePrecision } = await import('../../compressor/quantize/precision.ts');
  if (!(flags.learningRate > 0))
    throw new UsageError(`--learning-rate is above 0, not ${flags.learningRate}.`);
  const checkpoint = await freshCheckpoint(config, flags.seed);
  const { name, architecture } = checkpoint;
  const depth = { name, layers: architecture.layers.length };
  const grouping = { remove: 0, share: flags.share, weights: 'first' as const, quantize: 'none', keep: [] };
  const plan = makePlan(depth, { method: 'none' }, grouping);
  const student = plannedStudent(checkpoint, plan);
  const sizes = foldedSizes(architecture, plan, resolvePrecision(checkpoint, plan, parsePrecision('none')));
  process.stderr.write(
    `${name}: ${depth.layers} layers of width ${architecture.width}, ${formatCount(sizes.folded)} parameters.\n`,
  );
  const show = progress();
  try {
    const trained = await cure(checkpoint, student, {
      data: flags.data,
      tokens: flags.tokens,
      part: 'model',
      crossEntropy: 1,
      divergence: 0,
      learningRate: flags.learningRate,
      weightDecay: flags.weightDecay,
      heldOutShare: flags.heldOut,
      seed: flags.seed,
      ...(flags.length !== undefined && { length: flags.length }),
      ...(flags.tokensPerStep !== undefined && { tokensPerStep: flags.tokensPerStep }),
      ...(flags.warmup !== undefined && { warmupSteps: flags.warmup }),
      folder: join(flags.out, 'training'),
      identity: { architecture },
      coding: flags.coding,
      signal: interruptSignal(),
      ...trainingProgress('Training', show),
    });
    await writeHuggingFace(trained.student, config, flags.out, flags.form);
    const { before, after, steps, tokens } = trained;
    if (flags.json) {
      const result = { path: flags.out, parameters: sizes.folded, steps, tokens, before, after };
      process.stdout.write(`${JSON.stringify(result, undefined, 2)}\n`);
    } else process.stdout.write(`${flags.out}\n`);
  } finally {
    show.finish();
  }
}
