import { Command } from 'commander';
import { pullWithProgress } from '../pull-checkpoint.ts';
import { interruptSignal } from '../signal.ts';

interface Flags {
  to?: string;
  gguf?: string;
  json?: boolean;
}

export function pullCommand(): Command {
  return new Command('pull')
    .summary('fetch a checkpoint from the Hugging Face hub')
    .description('Fetches a checkpoint from the Hugging Face hub and prints the path to fold.')
    .argument('<checkpoint>', 'hf:ORG/NAME or hf:ORG/NAME@REVISION')
    .option(
      '--to <folder>',
      'where to (default: checkpoints/ORG/NAME in $FOLDGATE_CACHE, else ~/.cache/foldgate)',
    )
    .option('--gguf <file>', 'fetch this GGUF file of the repository instead of its safetensors')
    .option('--json', 'print the path as JSON')
    .addHelpText(
      'after',
      `
Examples:
  foldgate pull hf:HuggingFaceTB/SmolLM2-135M-Instruct
  foldgate fold "$(foldgate pull hf:Qwen/Qwen3-0.6B)" --remove 0.2 --out file:./models/qwen
  foldgate pull hf:Qwen/Qwen2.5-0.5B-Instruct-GGUF --gguf qwen2.5-0.5b-instruct-q8_0.gguf --to .

HF_TOKEN gives access to private and gated models, HF_ENDPOINT names a mirror of the hub.
An interrupted download goes on where it stopped when run again.`,
    )
    .action(async (spec: string, { to, gguf, json }: Flags) => {
      const path = await pullWithProgress(spec, { to, gguf, signal: interruptSignal() });
      process.stdout.write(`${json ? JSON.stringify({ path }) : path}\n`);
    });
}
