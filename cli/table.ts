/** `134.5 M`: for counts of parameters. */
export function formatCount(count: number): string {
  const units = ['', 'K', 'M', 'B', 'T'];
  let unit = 0;
  let rest = count;
  // 999.95 would print as 1000.0.
  for (; rest >= 999.95 && unit < units.length - 1; unit++) rest /= 1000;
  return unit === 0 ? String(rest) : `${rest.toFixed(1)} ${units[unit]}`;
}

/** Columns as wide as their widest cell, two spaces apart; numbers to the right. */
export function formatTable(header: string[], rows: (string | number)[][]): string {
  const right = header.map((_, column) => rows.every((row) => typeof row[column] === 'number'));
  const cells = [header, ...rows.map((row) => row.map(String))];
  const widths = header.map((_, column) => Math.max(...cells.map((row) => row[column]?.length ?? 0)));
  const pad = (cell: string, column: number) =>
    right[column] ? cell.padStart(widths[column] ?? 0) : cell.padEnd(widths[column] ?? 0);
  return cells.map((row) => row.map(pad).join('  ').trimEnd()).join('\n');
}
