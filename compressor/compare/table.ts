import type { Comparison } from './row.ts';

/** The rows as a Markdown table: sizes, perplexities with their ratio to the original's, accuracies, serving. */
export function markdownTable(comparison: Pick<Comparison, 'results' | 'tasks'>): string {
  const { results, tasks } = comparison;
  const base = results.find(({ row }) => row.method === 'original')?.row.perplexity.before;
  const header = [
    ...['method', 'budget', 'saved', 'layers', 'block parameters', 'MB', 'quantization'],
    ...['perplexity before', 'cured', 'stored', 'x original', ...tasks],
    ...['ms a token', 'speed', 'served MB', 's'],
  ];
  const rows = results.map(({ row }) => [
    row.method + (row.note === undefined ? '' : ' (1)'),
    row.budget === null ? '' : percent(row.budget),
    percent(row.saved),
    String(row.layers),
    (row.distinctBlockParameters / 1e6).toFixed(2).concat(' M'),
    (row.bytes / 1e6).toFixed(2),
    row.quantization,
    row.perplexity.before.toFixed(2),
    row.perplexity.cured?.toFixed(2) ?? '',
    row.perplexity.stored.toFixed(2),
    base === undefined ? '' : (row.perplexity.stored / base).toFixed(3),
    ...tasks.map((task) => percent(row.tasks[task]!.accuracy)),
    row.serving?.time.toFixed(2) ?? '',
    row.serving === undefined ? '' : `${row.serving.speed.toFixed(2)}x`,
    row.serving === undefined ? '' : (row.serving.memory / 1e6).toFixed(0),
    row.seconds.toFixed(0),
  ]);
  const notes = [...new Set(results.flatMap(({ row }) => (row.note === undefined ? [] : [row.note])))];
  const line = (cells: string[]) => `| ${cells.join(' | ')} |`;
  // Names to the left, numbers to the right.
  const rule = header.map((name) => (['method', 'quantization'].includes(name) ? '---' : '---:'));
  return [
    line(header),
    line(rule),
    ...rows.map(line),
    ...(notes.length > 0 ? ['', ...notes.map((note) => `(1) ${note}`)] : []),
  ].join('\n');
}

function percent(share: number): string {
  return `${(100 * share).toFixed(1)}%`;
}
