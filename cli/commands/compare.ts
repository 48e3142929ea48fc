import { Command, InvalidArgumentError, Option } from 'commander';
import { calibrations } from '../../compressor/quantize/calibration.ts';
import { type CompareFlags, compareWith } from '../compare-with.ts';
import { addDeviceOption } from '../device-option.ts';
import { parseCount, parseInteger, parseNumber, parseNumbers, parseShare } from '../parse.ts';
import { interruptSignal } from '../signal.ts';

export function compareCommand(): Command {
  return addDeviceOption(new Command('compare'))
    .summary('fold by several methods to the same sizes, cure and measure all alike')
    .description(
      'Folds a checkpoint by several methods to the same sizes, cures all on the same tokens and measures all ' +
        'alike, beside the original, a control and the original at fewer bits.',
    )
    .argument('<checkpoint>', 'Hugging Face folder or GGUF file')
    .option(
      '--methods <names>',
      'separated by commas; see `foldgate fold --help`, and "quantize"',
      parseNames,
      ['foldgpt', 'shortgpt', 'loss', 'reverse', 'uniform', 'quantize'],
    )
    .option(
      '--budget <shares>',
      'shares of the distinct block parameters to save, separated by commas',
      parseBudgets,
      [0.2, 0.4],
    )
    .requiredOption('--data <files...>', 'text or JSON lines: trained on, a hundredth held out to measure on')
    .option('--cure-tokens <count>', 'tokens of each cure; 0 for none', parseInteger, 100_000)
    .option(
      '--cross-entropy <share>',
      "share of the cures' loss that is the text's own next tokens, as for `foldgate fold`",
      parseShare,
      0,
    )
    .option('--learning-rate <rate>', 'highest of the cures (default: 3e-4)', parseNumber)
    .option('--seed <number>', "order of the cures' data", parseCount, 1)
    .option('--task <files...>', 'score these tasks as well, as for `foldgate eval`', [])
    .option('--limit <items>', 'of each task, the first so many alone', parseCount)
    .option('--quantize <form>', 'how the folded models are stored, as for `foldgate fold`', 'int4')
    .addOption(
      new Option('--calibrate <how>', 'int4 matrices: fitted to the data, or rounded to nearest')
        .choices([...calibrations, 'none'])
        .default('gptq'),
    )
    .option('--rank-tokens <count>', 'tokens that layers are ranked on', parseCount, 2048)
    .option('--held-out-tokens <count>', 'tokens of the held-out part, at most', parseCount, 8192)
    .option('--out <folder>', 'where results are kept (default: in the cache folder, by what they depend on)')
    .option('--report <file>', 'write a report as one HTML file, as `foldgate report` does')
    .option('--json', 'print the rows as JSON')
    .addHelpText('after', help)
    .action(async (path: string, flags: CompareFlags) => {
      process.stdout.write(await compareWith(path, flags, interruptSignal()));
    });
}

const help = `
Beside the methods there are these rows:
  original   the checkpoint as it is, stored like the folded models
  control    the checkpoint trained on the tokens of the cures: what the data alone does
  quantize   the checkpoint in no more bytes than the smallest folded model, by fewer bits

Perplexity is measured on the held-out part of --data: in float32 before and after the cure, and of the stored
model. Patches count as stored parameters. Tasks are scored with the stored model. At the end all models decode in
turn: speeds are medians, against the original's. Memory is that of serving with 2,048 tokens in the cache, computed.

JSON: {checkpoint, data, heldOutTokens, cureTokens, seed, rows, folder}; a row is {method, budget, saved, layers,
parameters, distinctBlockParameters, bytes, quantization, perplexity: {before, cured, stored}, tasks, serving: {time:
ms a token, speed: times the original's, memory}, seconds, model}, note where there is one. The folded models stay in
the folder, for \`foldgate run\` and \`serve\`.

A comparison that was interrupted goes on where it was when the same command runs again; more methods or
budgets add to it.

Examples:
  foldgate compare checkpoints/tales-5m --data stories.txt --cure-tokens 20000
  foldgate compare model.gguf --methods foldgpt,shortgpt,quantize --budget 0.25 --data texts.jsonl --task piqa.jsonl
  foldgate compare model.gguf --data texts.txt --out ./comparison --report report.html`;

function parseNames(text: string): string[] {
  return [...new Set(text.split(',').map((name) => name.trim()))];
}

function parseBudgets(text: string): number[] {
  const shares = parseNumbers(text);
  if (shares.some((share) => !(share > 0 && share < 1)))
    throw new InvalidArgumentError('Shares between 0 and 1 are expected, separated by commas.');
  return [...new Set(shares)].sort((a, b) => a - b);
}
