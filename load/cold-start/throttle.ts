import { Transform } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';

/** Bytes that pass at once: small, so that streams share the line fairly. */
const sliceBytes = 64 * 1024;

/** Milliseconds that the line may be behind before it stops to catch up: timers are no finer. */
const slackMs = 2;

/** A line of limited bandwidth that any number of streams share. */
export class Line {
  readonly #bytesPerMs: number;
  /** When all that was let through so far has passed, by `performance.now()`. */
  #freeAt = 0;

  /** @param bytesPerSecond Infinity for no limit */
  constructor(bytesPerSecond: number) {
    this.#bytesPerMs = bytesPerSecond / 1000;
  }

  /** A stream's way through the line. */
  stream(): Transform {
    const pass = (bytes: number) => this.#pass(bytes);
    return new Transform({
      readableHighWaterMark: sliceBytes,
      async transform(chunk: Buffer, _encoding, done) {
        for (let at = 0; at < chunk.length; at += sliceBytes) {
          const slice = chunk.subarray(at, at + sliceBytes);
          await pass(slice.length);
          this.push(slice);
        }
        done();
      },
    });
  }

  async #pass(bytes: number): Promise<void> {
    const now = performance.now();
    this.#freeAt = Math.max(now, this.#freeAt) + bytes / this.#bytesPerMs;
    if (this.#freeAt - now > slackMs) await sleep(this.#freeAt - now);
  }
}
