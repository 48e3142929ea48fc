import { Worker } from 'node:worker_threads';
import type { FromGrammarThread, GrammarThreadOptions, ToGrammarThread } from './messages.ts';
import type { Vocabulary } from './vocabulary.ts';

/** The thread's objects are small and short-lived; V8 would let 48 MB of garbage gather. */
const maxYoungGenerationSizeMb = 2;

/** One life of the thread that follows grammars. */
export class GrammarThread implements Disposable {
  onMessage: (message: FromGrammarThread) => void = () => {};
  /** The thread could not be started, or ended by itself. */
  onLost: (cause?: unknown) => void = () => {};
  #worker: Worker | undefined;
  /** What was sent before there was a thread. */
  #early: ToGrammarThread[] = [];
  #isDisposed = false;

  constructor(vocabulary: () => Promise<Vocabulary>, doorbell: SharedArrayBuffer) {
    vocabulary().then(
      (vocabulary) => this.#start({ vocabulary, doorbell }),
      (error) => this.#end(error),
    );
  }

  post(message: ToGrammarThread): void {
    if (this.#worker) this.#worker.postMessage(message);
    else this.#early.push(message);
  }

  #start(workerData: GrammarThreadOptions): void {
    if (this.#isDisposed) return;
    const { bytes, offsets } = workerData.vocabulary;
    const file = import.meta.url.endsWith('.ts') ? './thread.ts' : './thread.js';
    const worker = new Worker(new URL(file, import.meta.url), {
      workerData,
      transferList: [bytes.buffer as ArrayBuffer, offsets.buffer as ArrayBuffer],
      resourceLimits: { maxYoungGenerationSizeMb },
      // The library prints warnings that are of no use to whoever runs the server.
      stdout: true,
      stderr: true,
    });
    worker.stdout.resume();
    worker.stderr.resume();
    worker.unref();
    let failure: unknown;
    worker.on('message', (message: FromGrammarThread) => this.#isDisposed || this.onMessage(message));
    worker.on('error', (error) => {
      failure = error;
    });
    worker.on('exit', () => this.#end(failure));
    for (const message of this.#early) worker.postMessage(message);
    this.#worker = worker;
  }

  #end(cause: unknown): void {
    if (!this.#isDisposed) this.onLost(cause);
  }

  [Symbol.dispose](): void {
    this.#isDisposed = true;
    void this.#worker?.terminate();
  }
}
