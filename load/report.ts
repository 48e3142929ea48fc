import type { Spread } from './client/quantile.ts';
import type { Summary } from './client/summary.ts';
import { type Scenario, secondsOf } from './scenario/scenario.ts';

export interface ScenarioResult {
  name: string;
  scenario: Scenario;
  /** What measured it, and what came out. */
  runs: { by: string; summary: Summary; problems: string[]; html?: string | undefined }[];
}

/** The results of a set as Markdown. */
export function markdownReport(url: string, model: string, results: ScenarioResult[]): string {
  return [
    '# Load',
    '',
    `Model ${model} at ${url}. Milliseconds, median / 95th percentile; "by the server" is its own account of the`,
    'same requests.',
    ...results.flatMap(section),
    '',
  ].join('\n');
}

function section({ name, scenario, runs }: ScenarioResult): string[] {
  const head = [
    'by',
    'requests',
    'failed',
    'tokens/s',
    'first token',
    'between tokens',
    'first token, by the server',
    'between tokens, by the server',
    'latency',
    'cached',
    'resident MB',
    'verdict',
  ];
  const rows = runs.map(({ by, summary, problems, html }) => [
    html ? `[${by}](${html})` : by,
    summary.requests,
    Object.values(summary.errors).reduce((sum, count) => sum + count, 0),
    summary.tokensPerSecond.toFixed(1),
    times(summary.ttftMs),
    times(summary.interTokenMs),
    times(summary.server?.ttftMs),
    times(summary.server?.interTokenMs),
    times(summary.latencyMs),
    cached(summary),
    memory(summary),
    problems.length === 0 ? 'passed' : 'FAILED',
  ]);
  const { process, stages } = scenario.arrivals;
  const rates = stages.map(({ seconds, perSecond }) => `${perSecond} a second for ${seconds} s`).join(', ');
  const missing = [...new Set(runs.flatMap(({ summary }) => summary.memory?.missing ?? []))];
  return [
    '',
    `## ${name}`,
    '',
    `${scenario.description} ${secondsOf(scenario.arrivals)} s, ${process} arrivals: ${rates}.`,
    '',
    ...table(head, rows),
    ...runs.flatMap(({ by, problems }) => problems.map((problem) => `- **${by}**: ${problem}.`)),
    ...missing.map((what) => `- Memory was not measured: ${what}.`),
  ];
}

/** A Markdown table's lines, with an empty one behind. */
function table(head: readonly string[], rows: readonly (readonly (string | number)[])[]): string[] {
  const line = (cells: readonly (string | number)[]) => `| ${cells.join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line), ''];
}

function times(spread: Spread | undefined): string {
  return spread === undefined ? '' : `${short(spread.p50)} / ${short(spread.p95)}`;
}

/** Three digits, for milliseconds of any size. */
function short(value: number): string {
  return value >= 100 ? value.toFixed(0) : value.toPrecision(3);
}

/** The part of the prompts' tokens that were not computed anew. */
function cached({ cachedTokens, promptTokens }: Summary): string {
  return promptTokens === 0 ? '' : `${((100 * cachedTokens) / promptTokens).toFixed(0)}%`;
}

function memory({ memory }: Summary): string {
  if (memory?.residentBytes === undefined) return '';
  const size = (memory.residentBytes / 1e6).toFixed(0);
  if (memory.growth === undefined) return size;
  return `${size} (${memory.growth < 0 ? '' : '+'}${(memory.growth * 100).toFixed(1)}%)`;
}
