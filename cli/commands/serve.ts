import { Command } from 'commander';
import { type ServeFlags, serveModel } from '../serve-model.ts';
import { addListenOptions, parsePort } from '../serve-options.ts';
import { interruptSignal } from '../signal.ts';

export function serveCommand(): Command {
  const command = new Command('serve')
    .summary('answer OpenAI requests with a model')
    .description(
      "Serves a model behind OpenAI's HTTP interface: /v1/completions, /v1/chat/completions, /v1/models.",
    )
    .requiredOption('--store <url>', 'where the model is: file:FOLDER, a plain path, or s3://BUCKET/PREFIX')
    .requiredOption('--model <name>', 'which one; requests name it too')
    .option('--port <number>', 'port to listen on, 0 for a free one', parsePort, 8080);
  return addListenOptions(command)
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
