import { addressOf, adviseMemory } from '../onnxruntime/library.ts';
import { Tensor } from '../onnxruntime/tensor.ts';
import {
  bytesPerToken,
  type CacheArray,
  type CacheShape,
  type CacheType,
  cacheArrays,
  cacheParts,
} from './decoder-options.ts';

/** Some systems on other processors have pages of 64 kB. */
const pageBytes = process.arch === 'x64' ? 4096 : 65_536;

/** The tensors of some rows, by the graph's input and output names. */
export interface CacheBinding {
  past: Record<string, Tensor>;
  present: Record<string, Tensor>;
}

/** A sequence's keys and values outside of the cache: for each layer, key then value, [kvHeads, tokens, headSize]. */
export interface KvSnapshot extends Disposable {
  readonly type: CacheType;
  readonly tokens: number;
  readonly bytes: number;
  readonly data: readonly CacheArray[];
}

/**
 * Keys and values of some sequences, a row each; a buffer a layer and part, [rows, kvHeads, capacity, headSize].
 * The runtime reads and writes them in place: the same tensor is bound as past and as present. Rows that
 * lie side by side make one step's batch.
 *
 * The buffers have their full length from the start, yet memory follows the tokens in use: fresh pages
 * come from the system untouched, and each head's tokens fill from the front.
 */
export class KvCache implements Disposable {
  readonly shape: CacheShape;
  readonly rows: number;
  /** Tokens in each row. */
  readonly lengths: Int32Array;
  readonly #buffers: CacheArray[] = [];
  readonly #bindings = new Map<string, CacheBinding>();

  constructor(shape: CacheShape, rows = 1) {
    this.shape = shape;
    this.rows = rows;
    this.lengths = new Int32Array(rows);
    const count = shape.layers * cacheParts.length;
    for (let i = 0; i < count; i++) this.#buffers.push(new cacheArrays[shape.type](rows * this.#rowSize));
  }

  /** Tokens in the first row, for caches of one sequence. */
  get length(): number {
    return this.lengths[0]!;
  }

  set length(tokens: number) {
    this.lengths[0] = tokens;
  }

  /** Rows `first` to `first + count - 1` as a batch. */
  binding(first: number, count: number): CacheBinding {
    const key = `${first}+${count}`;
    let binding = this.#bindings.get(key);
    if (!binding) {
      binding = this.#bind(first, count);
      this.#bindings.set(key, binding);
    }
    return binding;
  }

  /** Makes row `to` begin as the first `tokens` of row `from` do. */
  copy(from: number, to: number, tokens: number): void {
    this.#check(from, tokens);
    const { kvHeads, headSize } = this.shape;
    for (const buffer of this.#buffers) {
      for (let head = 0; head < kvHeads; head++) {
        const start = this.#start(from, head);
        buffer.copyWithin(this.#start(to, head), start, start + tokens * headSize);
      }
    }
    this.lengths[to] = tokens;
  }

  /** A copy of all that the row holds. */
  save(row: number): KvSnapshot {
    const { kvHeads, headSize } = this.shape;
    const tokens = this.lengths[row]!;
    const size = tokens * headSize;
    // One piece of memory: the allocator gives a large one back to the system, sixty small ones not always.
    const all = new cacheArrays[this.shape.type](this.#buffers.length * kvHeads * size);
    const data = this.#buffers.map((buffer, i) => {
      const copy = all.subarray(i * kvHeads * size, (i + 1) * kvHeads * size);
      for (let head = 0; head < kvHeads; head++) {
        const start = this.#start(row, head);
        copy.set(buffer.subarray(start, start + size), head * size);
      }
      return copy;
    });
    return {
      type: this.shape.type,
      tokens,
      data,
      bytes: tokens * bytesPerToken(this.shape),
      [Symbol.dispose]: () => giveBack(all),
    };
  }

  /**
   * Makes the row begin as the first `tokens` of a snapshot do.
   * @throws TypeError for a snapshot of a cache of another type: its numbers mean something else
   */
  restore(row: number, snapshot: KvSnapshot, tokens = snapshot.tokens): void {
    if (snapshot.type !== this.shape.type)
      throw new TypeError(`A snapshot in ${this.shape.type} is expected, not in ${snapshot.type}.`);
    const { kvHeads, headSize } = this.shape;
    for (const [i, buffer] of this.#buffers.entries()) {
      for (let head = 0; head < kvHeads; head++) {
        const start = head * snapshot.tokens * headSize;
        buffer.set(snapshot.data[i]!.subarray(start, start + tokens * headSize), this.#start(row, head));
      }
    }
    this.lengths[row] = tokens;
  }

  /** Empties the row and gives its memory back. */
  clear(row: number): void {
    this.lengths[row] = 0;
    const { kvHeads, capacity, headSize } = this.shape;
    for (const buffer of this.#buffers) {
      const base = addressOf(buffer);
      for (let head = 0; head < kvHeads; head++) {
        const start = base + BigInt(this.#start(row, head) * buffer.BYTES_PER_ELEMENT);
        releasePages(start, start + BigInt(capacity * headSize * buffer.BYTES_PER_ELEMENT));
      }
    }
  }

  get #rowSize(): number {
    return this.shape.kvHeads * this.shape.capacity * this.shape.headSize;
  }

  /** Where a row's head begins in its buffer. */
  #start(row: number, head: number): number {
    return row * this.#rowSize + head * this.shape.capacity * this.shape.headSize;
  }

  #check(row: number, tokens: number): void {
    if (tokens > this.lengths[row]!) {
      throw new RangeError(`Row ${row} holds ${this.lengths[row]} tokens, not ${tokens}.`);
    }
  }

  #bind(first: number, count: number): CacheBinding {
    const { kvHeads, capacity, headSize } = this.shape;
    const binding: CacheBinding = { past: {}, present: {} };
    for (const [i, buffer] of this.#buffers.entries()) {
      const [layer, part] = [i >> 1, cacheParts[i % cacheParts.length]];
      const data = buffer.subarray(first * this.#rowSize, (first + count) * this.#rowSize);
      const tensor = new Tensor(data, [count, kvHeads, capacity, headSize]);
      binding.past[`past_key_values.${layer}.${part}`] = tensor;
      binding.present[`present.${layer}.${part}`] = tensor;
    }
    return binding;
  }

  /** Gives the memory back without waiting for the garbage collector, which an idle process does not run. */
  [Symbol.dispose](): void {
    this.#bindings.clear();
    for (const buffer of this.#buffers.splice(0)) giveBack(buffer);
    this.lengths.fill(0);
  }
}

function giveBack({ buffer }: CacheArray): void {
  if (buffer instanceof ArrayBuffer) buffer.transfer(0);
}

/** Gives the whole pages between two addresses back to the system; those that nobody touched cost nothing. */
function releasePages(from: bigint, to: bigint): void {
  const mask = BigInt(pageBytes - 1);
  const first = (from + mask) & ~mask;
  const last = to & ~mask;
  if (last > first) adviseMemory(first, Number(last - first), 'dontNeed');
}
