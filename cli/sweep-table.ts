import type { Sweep } from '../compressor/plan/sweep.ts';
import { formatPerplexity } from '../compressor/report/series.ts';
import { formatBytes } from './progress.ts';
import { formatCount, formatTable } from './table.ts';

/** A sweep for people: a row a fold. */
export function sweepTable({
  checkpoint,
  checkpointLayers,
  quantize,
  context,
  measured,
  points,
}: Sweep): string {
  const rows = points.map((point) => [
    point.kept,
    point.share,
    point.width,
    point.blocks,
    point.layers,
    formatCount(point.parameters),
    formatBytes(point.stored),
    formatBytes(point.served),
    formatCount(point.multiplyAdds),
    ...(point.measured ? [point.measured.time.toFixed(2), formatPerplexity(point.measured.perplexity)] : []),
  ]);
  const header = [
    'kept',
    'share',
    'width',
    'blocks',
    'layers',
    'parameters',
    'stored',
    'in memory',
    'multiply-adds',
  ];
  const notes = [
    `Of ${checkpointLayers} layers so many are kept, share of them run one block, with so much of its MLP's width;`,
    `memory is that of serving, and`,
    `multiply-adds are those of one token, with ${context} tokens of context.`,
    measured &&
      `Layers ranked by ${measured.rank}; perplexity, untrained and in float32, of ${measured.tokens} tokens of ${measured.text}.`,
  ].filter((note) => note !== undefined);
  return [
    `Folds of ${checkpoint}, stored as ${quantize}`,
    '',
    formatTable([...header, ...(measured ? ['ms a token', 'perplexity'] : [])], rows),
    '',
    ...notes,
  ].join('\n');
}
