import { Command } from 'commander';
import type { ModelSummary } from '../../artifact/models/inspect.ts';
import { formatBytes } from '../progress.ts';
import { formatCount, formatTable } from '../table.ts';

export function inspectCommand(): Command {
  return new Command('inspect')
    .summary('show what a model consists of')
    .description('Shows how a model was folded, which layers share a block, and what it weighs.')
    .argument('<model>', 'STORE/NAME: file:./models/NAME, ./models/NAME or s3://BUCKET/PREFIX/NAME')
    .option('--json', 'print everything as JSON')
    .addHelpText(
      'after',
      '\nExamples:\n  foldgate inspect ./models/tales\n  foldgate inspect s3://bucket/tales --json',
    )
    .action(inspect);
}

async function inspect(url: string, { json }: { json?: boolean }): Promise<void> {
  const { openModelUrl } = await import('../../artifact/store/open.ts');
  const models = await import('../../artifact/models/inspect.ts');
  const { store, name } = await openModelUrl(url);
  const summary = await models.inspect(store, name);
  process.stdout.write(json ? `${JSON.stringify(summary, null, 2)}\n` : describeModel(summary));
}

function sizeOf({ bytes, promptWeightBytes: prompts }: ModelSummary): string {
  return prompts === 0
    ? formatBytes(bytes)
    : `${formatBytes(bytes)}, ${formatBytes(prompts)} of them to read prompts with`;
}

/** The human form: facts, the table of layers, the blobs. */
function describeModel(summary: ModelSummary): string {
  const { dimensions: size, folding, layers } = summary;
  const saved = 1 - summary.parameters / summary.originalParameters;
  const facts = [
    ['name', summary.name],
    ['version', summary.version],
    ['published', summary.publishedAt],
    [
      'architecture',
      `${summary.architecture}, width ${size.width}, ${size.heads} heads (${size.kvHeads} for keys and values)`,
    ],
    ['context', `${size.contextLength} tokens, vocabulary ${size.vocabularySize}`],
    ['layers', `${layers.length}, running ${summary.distinctBlocks} distinct blocks`],
    [
      'parameters',
      `${formatCount(summary.parameters)} of ${formatCount(summary.originalParameters)} (${(100 * saved).toFixed(1)}% saved)`,
    ],
    ['size', sizeOf(summary)],
    ['quantization', quantizationOf(summary)],
    [
      'folded',
      `from ${folding.checkpoint} by ${folding.method}, Foldgate ${folding.version}, ${folding.createdAt}`,
    ],
    ...Object.entries(folding.options).map(([option, value]) => [`  ${option}`, optionValue(option, value)]),
    ...summary.quality.map(({ stage, text, tokens, perplexity }) => [
      'perplexity',
      `${perplexity.toFixed(3)} ${stage}, on ${tokens} tokens of ${text}`,
    ]),
  ];
  const labels = Math.max(...facts.map(([label = '']) => label.length)) + 2;
  const halved = layers.some(({ half }) => half);
  const widths = new Map(summary.narrower.map(({ block, intermediateSize }) => [block, intermediateSize]));
  const layerRows = layers.map(({ index, source, block, half }) => [
    ...[index, source, block],
    ...(widths.size > 0 ? [widths.get(block) ?? size.intermediateSize] : []),
    ...(halved ? [half ? `${half} alone` : 'both halves'] : []),
    sharersOf(summary, index),
  ]);
  const header = [
    ...['LAYER', 'SOURCE', 'BLOCK'],
    ...(widths.size > 0 ? ['MLP WIDTH'] : []),
    ...(halved ? ['RUNS'] : []),
    'SHARED WITH LAYERS',
  ];
  const blobRows = summary.blobs.map(({ role, sha256, bytes }) => [role, formatBytes(bytes), sha256]);
  const prefixRows = summary.prefixes.map(({ name, tokens, elementType, bytes, sha256 }) => [
    name,
    tokens,
    elementType,
    formatBytes(bytes),
    sha256,
  ]);
  return [
    facts.map(([label = '', value]) => `${label.padEnd(labels)}${value}`).join('\n'),
    formatTable(header, layerRows),
    formatTable(['BLOB', 'SIZE', 'SHA256'], blobRows),
    ...(prefixRows.length > 0
      ? [formatTable(['PREFIX', 'TOKENS', 'TYPE', 'SIZE', 'SHA256'], prefixRows)]
      : []),
    '',
  ]
    .join('\n\n')
    .replace(/\n\n$/, '\n');
}

/** Longer ones would fill the screen: a plan has the scores of all layers, and how their gates moved. */
const longestOption = 200;

function optionValue(option: string, value: unknown): string {
  const text = JSON.stringify(value);
  if (text.length <= longestOption) return text;
  const elsewhere = option === 'plan' ? 'in words by "foldgate explain", whole in --json' : 'whole in --json';
  return `${text.slice(0, longestOption / 4)}... (${elsewhere})`;
}

/** `4 bits, a scale per 128 weights: qkv, output; float32: embedding`. */
function quantizationOf({ quantization, exceptions }: ModelSummary): string {
  const byPrecision = Map.groupBy(Object.entries(quantization), ([, { bits, blockSize }]) => {
    if (bits === 32) return 'float32';
    return `${bits} bits${blockSize === undefined ? '' : `, a scale per ${blockSize} weights`}`;
  });
  const parts = [...byPrecision].map(([form, kinds]) => `${form}: ${kinds.map(([kind]) => kind).join(', ')}`);
  const others = exceptions.flatMap(({ block, quantization: other }) =>
    Object.entries(other).map(([kind, { bits }]) => ({ block, form: `${bits} bits instead: ${kind}` })),
  );
  const byForm = Map.groupBy(others, ({ form }) => form);
  for (const [form, where] of byForm)
    parts.push(`${form} of block ${where.map(({ block }) => block).join(', ')}`);
  return parts.join('; ');
}

function sharersOf({ layers }: ModelSummary, index: number): string {
  const block = layers.find((layer) => layer.index === index)?.block;
  const others = layers.filter((layer) => layer.block === block && layer.index !== index);
  return others.map((layer) => layer.index).join(', ') || '-';
}
