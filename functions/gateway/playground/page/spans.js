/** @typedef {{start: number, end: number}} Span characters of a text */

/**
 * Where spans of a text are after it was edited in one place: what was written into them or over them is
 * no part of them any more.
 * @param {readonly Span[]} spans
 * @param {string} before
 * @param {string} after
 * @returns {Span[]}
 */
export function spansAfterEdit(spans, before, after) {
  const shorter = Math.min(before.length, after.length);
  let head = 0;
  while (head < shorter && before[head] === after[head]) head++;
  let tail = 0;
  while (tail < shorter - head && before.at(-1 - tail) === after.at(-1 - tail)) tail++;
  const editEnd = before.length - tail;
  const shift = after.length - before.length;
  return spans
    .flatMap(({ start, end }) => [
      { start, end: Math.min(end, head) },
      { start: Math.max(start, editEnd) + shift, end: end + shift },
    ])
    .filter(({ start, end }) => start < end);
}

/**
 * The whole text in pieces, marked or not.
 * @param {string} text
 * @param {readonly Span[]} spans in order, apart from each other
 * @returns {{text: string, isMarked: boolean}[]}
 */
export function piecesOf(text, spans) {
  const pieces = [];
  let at = 0;
  for (const { start, end } of spans) {
    pieces.push(
      { text: text.slice(at, start), isMarked: false },
      { text: text.slice(start, end), isMarked: true },
    );
    at = end;
  }
  pieces.push({ text: text.slice(at), isMarked: false });
  return pieces.filter((piece) => piece.text !== '');
}
