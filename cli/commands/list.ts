import { Command } from 'commander';
import type { ModelSummary } from '../../artifact/models/inspect.ts';
import { formatBytes } from '../progress.ts';
import { formatCount, formatTable } from '../table.ts';

export function listCommand(): Command {
  return new Command('list')
    .summary('list the models in a store')
    .description('Lists the models in a store.')
    .argument('<store>', 'file:FOLDER, a plain path, or s3://BUCKET/PREFIX')
    .option('--json', 'print everything known about each model as JSON')
    .addHelpText('after', '\nExamples:\n  foldgate list ./models\n  foldgate list s3://bucket/team --json')
    .action(list);
}

async function list(url: string, { json }: { json?: boolean }): Promise<void> {
  const { openStore } = await import('../../artifact/store/open.ts');
  const { listModels } = await import('../../artifact/models/inspect.ts');
  const store = await openStore(url);
  const models = await listModels(store);
  if (json) {
    const entries = models.map((model) => ('summary' in model ? model.summary : model));
    process.stdout.write(`${JSON.stringify(entries, null, 2)}\n`);
    return;
  }
  if (models.length === 0) process.stderr.write(`There are no models in ${store.url}.\n`);
  const summaries: ModelSummary[] = [];
  for (const model of models) {
    if ('problem' in model) process.stderr.write(`${model.name} cannot be read: ${model.problem}\n`);
    else summaries.push(model.summary);
  }
  if (summaries.length === 0) return;
  const withPrefixes = summaries.some(({ prefixes }) => prefixes.length > 0);
  const rows = summaries.map((summary) => {
    const { name, architecture, layers, distinctBlocks, parameters, bytes, prefixes, publishedAt } = summary;
    const sizes = [formatCount(parameters), formatBytes(bytes), ...(withPrefixes ? [prefixes.length] : [])];
    return [name, architecture, layers.length, distinctBlocks, ...sizes, publishedAt.slice(0, 16)];
  });
  const sizes = ['PARAMETERS', 'SIZE', ...(withPrefixes ? ['PREFIXES'] : [])];
  const header = ['NAME', 'ARCHITECTURE', 'LAYERS', 'BLOCKS', ...sizes, 'PUBLISHED (UTC)'];
  process.stdout.write(`${formatTable(header, rows)}\n`);
}
