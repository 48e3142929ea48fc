export interface Row {
  name: string;
  /** Tokens a second, medians of the rounds. */
  prefill: number;
  decode: number;
  /** Against llama.cpp with the same head, medians of the rounds' ratios. */
  prefillRatio: number;
  decodeRatio: number;
  /** Tokens a second through HTTP. */
  http: number;
  /** MB of the server. */
  resident: number;
  anonymous: number;
  /** MB of the server started without any limit, the same context in use. */
  residentByDefault: number;
  perplexity: number;
}

export function median(values: number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1]!;
}

/** The results as Markdown. */
export function table(title: string, machine: string, rows: Row[]): string {
  const cell = (row: Row) => [
    row.name,
    `${row.prefill.toFixed(0)} (${row.prefillRatio.toFixed(2)}x)`,
    `${row.decode.toFixed(1)} (${row.decodeRatio.toFixed(2)}x)`,
    row.http.toFixed(1),
    `${row.resident.toFixed(0)} (${row.anonymous.toFixed(0)})`,
    row.residentByDefault.toFixed(0),
    row.perplexity.toFixed(2),
  ];
  const head = [
    '',
    'prefill tokens/s',
    'decode tokens/s',
    'over HTTP',
    'resident MB (anonymous)',
    'by default',
    'perplexity',
  ];
  return [`### ${title}`, '', machine, '', head, head.map(() => '---'), ...rows.map(cell)]
    .map((line) => (Array.isArray(line) ? `| ${line.join(' | ')} |` : line))
    .join('\n');
}
