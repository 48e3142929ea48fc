import { Command } from 'commander';
import { interruptSignal } from '../signal.ts';
import { withTransfer } from '../transfer.ts';

export function copyCommand(): Command {
  return new Command('copy')
    .summary('copy a model to another store or name')
    .description(
      'Copies a model and its prefixes. What the target store holds already is not sent again; run it again to resume it.',
    )
    .argument('<from>', 'STORE/NAME: file:./models/NAME, ./models/NAME or s3://BUCKET/PREFIX/NAME')
    .argument('<to>', 'STORE/NAME, likewise')
    .option('--rewrite', 'send blobs that are there too, which repairs damaged ones')
    .addHelpText(
      'after',
      '\nExamples:\n  foldgate copy ./models/tales s3://bucket/team/tales\n  foldgate copy s3://bucket/a ./models/b',
    )
    .action(copy);
}

async function copy(from: string, to: string, { rewrite }: { rewrite?: boolean }): Promise<void> {
  const { openModelUrl } = await import('../../artifact/store/open.ts');
  const { copyModel } = await import('../../artifact/models/copy.ts');
  const { bytesWithPrefixes, inspect } = await import('../../artifact/models/inspect.ts');
  const source = await openModelUrl(from);
  const target = await openModelUrl(to);
  const signal = interruptSignal();
  const bytes = bytesWithPrefixes(await inspect(source.store, source.name, { signal }));
  const version = await withTransfer(`Copying ${source.name}`, bytes, (onProgress) =>
    copyModel(source, target, { rewrite, signal, onProgress }),
  );
  process.stdout.write(`${version}\n`);
}
