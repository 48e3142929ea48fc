import { type BenchResults, cellOf, type LoadCell, median, middle, type Pick, ratio } from './results.ts';

/** The results as Markdown. Ratios are against the first contender, medians of the rounds' ratios. */
export function tables(results: BenchResults): string[] {
  const { contenders, closed, open, engines } = results;
  const streams = [...new Set(closed.map((cell) => cell.streams))].sort((a, b) => a - b);
  const perStreams = (pick: Pick, digits = 0, unit = '') => [
    '| | ' +
      streams.map((count) => `${count} ${count === 1 ? 'stream' : 'streams'}${unit}`).join(' | ') +
      ' |',
    rule(streams.length),
    ...contenders.map(({ name }) => {
      const cells = streams.map((count) => withRatio(closed, contenders[0]!.name, name, count, pick, digits));
      return `| ${name} | ${cells.join(' | ')} |`;
    }),
    '',
  ];
  return [
    machineLine(results),
    '',
    'Tokens a second, all streams together:',
    '',
    ...perStreams(({ tokensPerSecond }) => tokensPerSecond),
    'Time to the first token, ms, median:',
    '',
    ...perStreams(({ ttft }) => ttft.p50),
    'Time between tokens, ms, median:',
    '',
    ...perStreams(({ interToken }) => interToken.p50, 1),
    'Resident memory of the server under that load, MB:',
    '',
    ...perStreams(({ residentMb }) => residentMb),
    ...(open.length > 0 ? openTable(results) : []),
    'One by one:',
    '',
    `| | bytes stored, MB | process start to first token, ms |${engines.length > 0 ? ' engine alone: prefill tokens/s | decode tokens/s |' : ''}`,
    rule(engines.length > 0 ? 4 : 2),
    ...contenders.map((contender) => oneByOne(results, contender)),
    '',
    ...failures(closed.concat(open)),
  ];
}

function machineLine({ machine, date, command }: BenchResults): string {
  const { processor, cores, memoryBytes, threads, node } = machine;
  const memory = (memoryBytes / 2 ** 30).toFixed(0);
  return `${date}, ${processor}, ${cores} cores, ${memory} GiB, ${threads} threads each, Node ${node}; \`${command}\``;
}

function openTable({ contenders, open }: BenchResults): string[] {
  const { perSecond, streams } = open[0]!;
  return [
    `Open loop, ${perSecond.toFixed(2)} requests a second at random moments, ${streams} slots, ms, median / 95th percentile:`,
    '',
    '| | first token | between tokens | tokens/s |',
    rule(3),
    ...contenders.map(({ name }) => {
      const cell = cellOf(open, name, streams)!;
      const both = (of: 'ttft' | 'interToken', digits: number) =>
        [middle(cell, (round) => round[of].p50), middle(cell, (round) => round[of].p95)]
          .map((value) => value.toFixed(digits))
          .join(' / ');
      const speed = middle(cell, ({ tokensPerSecond }) => tokensPerSecond).toFixed(0);
      return `| ${name} | ${both('ttft', 0)} | ${both('interToken', 1)} | ${speed} |`;
    }),
    '',
  ];
}

function oneByOne(results: BenchResults, { name, bytes }: { name: string; bytes: number }): string {
  const cold = results.coldStarts.find(({ contender }) => contender === name);
  const engine = results.engines.find(({ contender }) => contender === name);
  const cells = [(bytes / 1e6).toFixed(0), cold ? median(cold.firstTokenMs).toFixed(0) : ''];
  if (engine) cells.push(median(engine.prefill).toFixed(0), median(engine.decode).toFixed(1));
  return `| ${name} | ${cells.join(' | ')} |`;
}

function withRatio(
  cells: readonly LoadCell[],
  first: string,
  name: string,
  streams: number,
  pick: Pick,
  digits: number,
): string {
  const cell = cellOf(cells, name, streams);
  const base = cellOf(cells, first, streams);
  if (!cell || !base) return '';
  return `${middle(cell, pick).toFixed(digits)} (${ratio(cell, base, pick).toFixed(2)}x)`;
}

/** A number that requests are missing from is no result. */
function failures(cells: readonly LoadCell[]): string[] {
  const failed = cells.flatMap(({ contender, streams, rounds }) => {
    const count = rounds.reduce((sum, round) => sum + round.failed, 0);
    return count === 0 ? [] : [`- **${count} requests failed**: ${contender} at ${streams} streams.`];
  });
  return failed.length === 0 ? [] : [...failed, ''];
}

function rule(columns: number): string {
  return `|${'---|'.repeat(columns + 1)}`;
}
