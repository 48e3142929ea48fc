/** Looks for values of a whole vocabulary: loops that run between any two steps of the model. */

/** Indices of the values from `least` on. */
export function indicesFrom(values: Float32Array, least: number): number[] {
  const indices: number[] = [];
  addIndicesFrom(values, least, 0, values.length, indices);
  return indices;
}

/** Adds those from `start` to before `end`. */
export function addIndicesFrom(
  values: Float32Array,
  least: number,
  start: number,
  end: number,
  indices: number[],
): void {
  let found = indices.length; // with push, V8 makes the loop four times slower
  for (let i = start; i < end; i++) if (values[i]! >= least) indices[found++] = i;
}

/** The first of the largest values; what is no number is passed over. */
export function argmax(values: Float32Array): number {
  // Four at a time: comparisons that do not wait for each other take half the time.
  let [a, b, c, d] = [-Infinity, -Infinity, -Infinity, -Infinity];
  const whole = values.length & ~3;
  for (let i = 0; i < whole; i += 4) {
    if (values[i]! > a) a = values[i]!;
    if (values[i + 1]! > b) b = values[i + 1]!;
    if (values[i + 2]! > c) c = values[i + 2]!;
    if (values[i + 3]! > d) d = values[i + 3]!;
  }
  let highest = Math.max(a, b, c, d);
  for (let i = whole; i < values.length; i++) if (values[i]! > highest) highest = values[i]!;
  return Math.max(values.indexOf(highest), 0); // where nothing is a number, -1
}

/** Indices of the k largest numbers, largest first; of equals the lower index goes first. */
export function largest(values: Float32Array, k: number): number[] {
  // A heap of k with the smallest on top: nearly every value is turned away by one comparison.
  const heap: number[] = [];
  const less = (a: number, b: number) => values[a]! < values[b]! || (values[a]! === values[b]! && a > b);
  const sink = (at: number) => {
    for (;;) {
      let smallest = at;
      for (const child of [2 * at + 1, 2 * at + 2]) {
        if (child < heap.length && less(heap[child]!, heap[smallest]!)) smallest = child;
      }
      if (smallest === at) return;
      [heap[at], heap[smallest]] = [heap[smallest]!, heap[at]!];
      at = smallest;
    }
  };
  let next = 0;
  for (; heap.length < k && next < values.length; next++) if (!Number.isNaN(values[next])) heap.push(next);
  for (let at = k >> 1; at >= 0; at--) sink(at);
  for (let i = next; i < values.length; i++) {
    if (values[i]! > values[heap[0]!]!) {
      heap[0] = i;
      sink(0);
    }
  }
  return largestFirst(values, heap);
}

/** Of equals the lower index goes first. */
function largestFirst(values: Float32Array, indices: number[]): number[] {
  return indices.sort((a, b) => values[b]! - values[a]! || a - b);
}

/** The token at which the running sum passes `at`. */
export function draw(weights: Float32Array, tokens: number[] | undefined, at: number): number {
  const count = tokens?.length ?? weights.length;
  let last = 0;
  for (let i = 0; i < count; i++) {
    const token = tokens ? tokens[i]! : i;
    const weight = weights[token]!;
    if (weight === 0) continue;
    at -= weight;
    last = token;
    if (at < 0) return token;
  }
  return last; // rounding left a rest
}
