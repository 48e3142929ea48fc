import { Command } from 'commander';
import { serveModels } from '../serve-models.ts';
import { addSettings, givenFlags, readSettings } from '../settings/read-settings.ts';
import { checkServeSettings, serveSettings } from '../settings/serve-settings.ts';
import { interruptSignal } from '../signal.ts';

export function serveCommand(): Command {
  const command = new Command('serve')
    .summary('answer OpenAI requests with models')
    .description(
      "Serves models behind OpenAI's HTTP interface: /v1/completions, /v1/chat/completions, /v1/models. The first " +
        'is loaded at the start, others when they are asked for.',
    );
  return addSettings(command, serveSettings)
    .addHelpText(
      'after',
      `
Each option can also be set by the environment variable behind it, or in the file that --config names, by its name
as in {"store": "./models", "cacheSize": "10GB"}. A flag counts more than a variable, that more than the file.

/healthz answers as long as the process lives, /readyz once the first model can answer. The first Ctrl-C or
SIGTERM lets running requests end, for up to 30 seconds.

Examples:
  foldgate serve --store ./models --model tales
  foldgate serve --store ./models --model gpt-4o=tales --model smol --memory 2GB
  foldgate serve --store ./models --model smol --draft smol-tiny
  foldgate serve --store s3://bucket/team --model smol --host 0.0.0.0 --port 80 --slots 8`,
    )
    .action(async (_, command: Command) => {
      const sources = { flags: givenFlags(command), environment: process.env };
      const settings = await readSettings(serveSettings, sources, checkServeSettings);
      await serveModels(settings, interruptSignal());
    });
}
