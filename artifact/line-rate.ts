import type { Store } from './store/store.ts';

/** How fast a store's blobs have come so far: their bytes by the time in which at least one was on its way. */
export class LineRate {
  #onTheWay = 0;
  #busySince = 0;
  #busyMs = 0;
  #bytes = 0;

  /** A download begins. @returns to be called at its end, with the bytes that came */
  begin(): (bytes: number) => void {
    if (this.#onTheWay++ === 0) this.#busySince = performance.now();
    return (bytes) => {
      this.#bytes += bytes;
      if (--this.#onTheWay === 0) this.#busyMs += performance.now() - this.#busySince;
    };
  }

  /** Undefined before the first download's end. */
  get bytesPerMs(): number | undefined {
    if (this.#bytes === 0) return undefined;
    const running = this.#onTheWay > 0 ? performance.now() - this.#busySince : 0;
    return this.#bytes / Math.max(this.#busyMs + running, 1);
  }
}

const lines = new WeakMap<Store, LineRate>();

/** The way from a store to this process. */
export function lineOf(store: Store): LineRate {
  let line = lines.get(store);
  if (!line) {
    line = new LineRate();
    lines.set(store, line);
  }
  return line;
}
