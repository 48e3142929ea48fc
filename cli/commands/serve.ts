import { Command, InvalidArgumentError } from 'commander';
import { parseInteger } from '../fold-options.ts';
import { type ServeFlags, serveModel } from '../serve-model.ts';
import { interruptSignal } from '../signal.ts';

export function serveCommand(): Command {
  return new Command('serve')
    .summary('answer OpenAI requests with a model')
    .description(
      "Serves a model behind OpenAI's HTTP interface: /v1/completions, /v1/chat/completions, /v1/models.",
    )
    .requiredOption('--store <url>', 'where the model is: file:FOLDER, a plain path, or s3://BUCKET/PREFIX')
    .requiredOption('--model <name>', 'which one; requests name it too')
    .option(
      '--host <address>',
      'address to listen on; 0.0.0.0 to be reached from other machines',
      '127.0.0.1',
    )
    .option('--port <number>', 'port to listen on, 0 for a free one', parsePort, 8080)
    .option('--slots <count>', 'sequences that run at once; others wait', parsePositive, 4)
    .option('--threads <count>', 'threads of the model (default: the cores there are)', parsePositive)
    .option('--context <tokens>', "prompt and completion together (default: the model's own)", parsePositive)
    .option('--cache <folder>', 'where blobs are kept (default: $FOLDGATE_CACHE, else ~/.cache/foldgate)')
    .addHelpText(
      'after',
      `
/healthz answers as long as the process lives, /readyz once the model can answer. The first Ctrl-C or
SIGTERM lets running requests end, for up to 30 seconds.

Examples:
  foldgate serve --store ./models --model tales
  foldgate serve --store s3://bucket/team --model smol --host 0.0.0.0 --port 80 --slots 8`,
    )
    .action((flags: ServeFlags) => serveModel(flags, interruptSignal()));
}

function parsePositive(text: string): number {
  const value = parseInteger(text);
  if (value < 1) throw new InvalidArgumentError('1 or more is expected.');
  return value;
}

function parsePort(text: string): number {
  const value = parseInteger(text);
  if (value < 0 || value > 65_535) throw new InvalidArgumentError('A port from 0 to 65535 is expected.');
  return value;
}
