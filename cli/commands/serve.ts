import { Command } from 'commander';
import { parseBytes } from '../bytes.ts';
import { parseDuration } from '../duration.ts';
import { type ServedModel, type ServeFlags, serveModel } from '../serve-model.ts';
import { addListenOptions, parsePort } from '../serve-options.ts';
import { interruptSignal } from '../signal.ts';

interface Flags extends Omit<ServeFlags, 'models'> {
  model: string[];
}

export function serveCommand(): Command {
  const command = new Command('serve')
    .summary('answer OpenAI requests with models')
    .description(
      "Serves models behind OpenAI's HTTP interface: /v1/completions, /v1/chat/completions, /v1/models. The first " +
        'is loaded at the start, others when they are asked for.',
    )
    .requiredOption('--store <url>', 'where the models are: file:FOLDER, a plain path, or s3://BUCKET/PREFIX')
    .option(
      '--model <name>',
      'which one; again for several; ALIAS=NAME to serve it by another name (default: all in the store)',
      (text: string, others: string[]) => [...others, text],
      [],
    )
    .option(
      '--memory <bytes>',
      'what loaded models may take together; the least recently used go',
      parseBytes,
    )
    .option('--preload', 'load all models at the start, not when they are asked for')
    .option('--refresh <time>', 'how often to look for new versions; 0s for never', parseDuration, 30_000)
    .option('--port <number>', 'port to listen on, 0 for a free one', parsePort, 8080);
  return addListenOptions(command)
    .addHelpText(
      'after',
      `
/healthz answers as long as the process lives, /readyz once the first model can answer. The first Ctrl-C or
SIGTERM lets running requests end, for up to 30 seconds.

Examples:
  foldgate serve --store ./models --model tales
  foldgate serve --store ./models --model gpt-4o=tales --model smol --memory 2GB
  foldgate serve --store s3://bucket/team --model smol --host 0.0.0.0 --port 80 --slots 8`,
    )
    .action(({ model, ...flags }: Flags) =>
      serveModel({ ...flags, models: servedModels(model) }, interruptSignal()),
    );
}

/** `ALIAS=NAME` and `NAME`; undefined for all. */
function servedModels(names: readonly string[]): ServedModel[] | undefined {
  if (names.length === 0) return undefined;
  return names.map((text) => {
    const [id, name = id] = text.split('=') as [string, string?];
    return { id, name };
  });
}
