import { Command } from 'commander';
import { formatBytes } from '../progress.ts';
import { interruptSignal } from '../signal.ts';
import { withTransfer } from '../transfer.ts';

export function verifyCommand(): Command {
  return new Command('verify')
    .summary("check a model's bytes against their digests")
    .description(
      'Reads every blob of a model and its prefixes again and compares its size and sha256. Exits with 1 if any is broken.',
    )
    .argument('<model>', 'STORE/NAME: file:./models/NAME, ./models/NAME or s3://BUCKET/PREFIX/NAME')
    .option('--json', 'print the result as JSON')
    .addHelpText('after', '\nExample:\n  foldgate verify s3://bucket/tales')
    .action(verify);
}

async function verify(url: string, { json }: { json?: boolean }): Promise<void> {
  const { openModelUrl } = await import('../../artifact/store/open.ts');
  const { verify } = await import('../../artifact/models/verify.ts');
  const { bytesWithPrefixes, inspect } = await import('../../artifact/models/inspect.ts');
  const { InvalidDataError } = await import('../../artifact/errors.ts');
  const { store, name } = await openModelUrl(url);
  const signal = interruptSignal();
  const total = bytesWithPrefixes(await inspect(store, name, { signal }));
  const result = await withTransfer(`Verifying ${name}`, total, (onProgress) =>
    verify(store, name, { signal, onProgress }),
  );
  const { blobs, bytes, broken } = result;
  if (json) process.stdout.write(`${JSON.stringify(result, null, 2)}\n`);
  else for (const { sha256, problem } of broken) process.stdout.write(`blobs/${sha256} ${problem}\n`);
  if (broken.length > 0) {
    throw new InvalidDataError(
      `${broken.length} of ${blobs} blobs of ${name} are broken. To repair it, copy the model from a store ` +
        'that holds it whole, with --rewrite, or fold it again; add prefixes again.',
    );
  }
  if (!json) process.stdout.write(`${name} is whole: ${blobs} blobs, ${formatBytes(bytes)}.\n`);
}
