import { Command } from 'commander';

export function removeCommand(): Command {
  return new Command('remove')
    .summary('remove a model from its store')
    .description(
      'Removes a model, all its versions and prefixes. The blobs stay, for other models may share them, until ' +
        '"foldgate gc" finds that nothing needs them.',
    )
    .argument('<model>', 'STORE/NAME: file:./models/NAME, ./models/NAME or s3://BUCKET/PREFIX/NAME')
    .addHelpText('after', '\nExample:\n  foldgate remove s3://bucket/tales && foldgate gc s3://bucket')
    .action(remove);
}

async function remove(url: string): Promise<void> {
  const { openModelUrl } = await import('../../artifact/store/open.ts');
  const { removeModel } = await import('../../artifact/models/remove.ts');
  const { store, name } = await openModelUrl(url);
  const versions = await removeModel(store, name);
  process.stderr.write(`Removed ${name} (versions: ${versions}) from ${store.url}.\n`);
}
