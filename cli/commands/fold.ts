import { Command, Option } from 'commander';
import { type PromptWeightType, promptWeightTypes } from '../../artifact/decoder/prompt-weights.ts';
import { addCureOptions, type CureFlags, cureHelp } from '../cure-options.ts';
import { foldInto } from '../fold-into.ts';
import {
  addFoldOptions,
  type FoldFlags,
  rankingHelp,
  recordedOptions,
  refuseBesidePlan,
} from '../fold-options.ts';
import { interruptSignal } from '../signal.ts';

interface Flags extends FoldFlags, CureFlags {
  out: string;
  quality: boolean;
  promptWeights: PromptWeightType;
  json?: boolean;
}

export function foldCommand(): Command {
  return addCureOptions(addFoldOptions(new Command('fold')))
    .description('fold a checkpoint and publish it into a store')
    .argument('<checkpoint>', 'Hugging Face folder or GGUF file')
    .requiredOption('--out <url>', 'where to: file:./models/NAME or s3://bucket/prefix/NAME')
    .option('--plan <file>', 'carry out this plan instead of making one')
    .addOption(
      new Option(
        '--prompt-weights <what>',
        'what prompts are read with: the weights of the answers (same), or the blocks once more in int8: 1.5 times as fast, ' +
          'for a byte a block weight more, stored and in memory',
      )
        .choices([...promptWeightTypes])
        .default('same'),
    )
    .option('--no-quality', 'skip measuring what each step costs in perplexity')
    .option('--json', 'print the result as JSON')
    .addHelpText(
      'after',
      `${rankingHelp()}${cureHelp}
Examples:
  foldgate fold ./SmolLM2-135M-Instruct --remove 0.2 --out file:./models/smol
  foldgate fold model.gguf --share 2 --quantize int8 --out s3://models/tiny
  foldgate fold model.gguf --method foldgpt --remove 0.2 --data texts.txt --out file:./models/cured
  foldgate fold model.gguf --quantize auto:5 --calibration texts.txt --out file:./models/five-bits
  foldgate fold model.gguf --plan plan.json --out file:./models/tiny

int4 is fitted to 8,192 tokens of the calibration text where it has as many; the built-in one has about 5,000, and
quality is measured on another.

An interrupted fold leaves no model in the store; running it again takes it up where it stopped.`,
    )
    .action(async (path: string, flags: Flags, command: Command) => {
      refuseBesidePlan(command);
      const { bytesOf } = await import('../../artifact/manifest.ts');
      const { openModelUrl } = await import('../../artifact/store/open.ts');
      const { out, json, quality, promptWeights } = flags;
      const options = { ...recordedOptions(flags), ...(promptWeights === 'int8' && { promptWeights }) };
      const target = await openModelUrl(out);
      const signal = interruptSignal();
      const result = await foldInto(path, target, flags, { options, quality, promptWeights, signal });
      if (!json) {
        process.stdout.write(`${out}\n`);
        return;
      }
      const { manifest, version } = result;
      const bytes = bytesOf(manifest);
      const summary = { url: out, version, bytes, parameters: manifest.parameters, quality: result.quality };
      process.stdout.write(`${JSON.stringify(summary, undefined, 2)}\n`);
    });
}
