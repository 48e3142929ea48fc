/** Python's `strftime` in the C locale and local time, for the dates that chat templates print. */
export function strftime(date: Date, format: string): string {
  return format.replace(/%(-?)([A-Za-z%])/g, (directive, unpadded: string, letter: string) => {
    const text = fields[letter]?.(date);
    if (text === undefined) return directive;
    return unpadded ? text.replace(/^0+(?=\d)/, '') : text;
  });
}

const days = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday'];
const months = [
  'January',
  'February',
  'March',
  'April',
  'May',
  'June',
  'July',
  'August',
  'September',
  'October',
  'November',
  'December',
];

const two = (n: number) => String(n).padStart(2, '0');

const fields: Record<string, (date: Date) => string> = {
  Y: (d) => String(d.getFullYear()),
  y: (d) => two(d.getFullYear() % 100),
  m: (d) => two(d.getMonth() + 1),
  d: (d) => two(d.getDate()),
  e: (d) => String(d.getDate()).padStart(2, ' '),
  B: (d) => months[d.getMonth()]!,
  b: (d) => months[d.getMonth()]!.slice(0, 3),
  A: (d) => days[d.getDay()]!,
  a: (d) => days[d.getDay()]!.slice(0, 3),
  H: (d) => two(d.getHours()),
  I: (d) => two(d.getHours() % 12 || 12),
  M: (d) => two(d.getMinutes()),
  S: (d) => two(d.getSeconds()),
  p: (d) => (d.getHours() < 12 ? 'AM' : 'PM'),
  j: (d) => String(dayOfYear(d)).padStart(3, '0'),
  '%': () => '%',
};

function dayOfYear(date: Date): number {
  const day = Date.UTC(date.getFullYear(), date.getMonth(), date.getDate());
  return (day - Date.UTC(date.getFullYear(), 0, 0)) / 86_400_000;
}
