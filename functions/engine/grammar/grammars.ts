import { EngineError, GrammarError, type GrammarSource } from '../engine.ts';
import type { ConstraintHandle } from './constraint.ts';
import { GrammarThread } from './grammar-thread.ts';
import type { FromGrammarThread, ToGrammarThread } from './messages.ts';
import { Doorbell, SharedConstraint } from './shared-constraint.ts';
import type { Vocabulary } from './vocabulary.ts';

/**
 * Milliseconds in which the thread should be done with one grammar. Ordinary ones take 50 to 500; counts of characters,
 * as of a string's length, some seconds where the vocabulary is large.
 */
const defaultCompileDeadlineMs = 20_000;

/** Characters of a grammar: a schema of 1,000 properties has a quarter of that. */
const maxGrammarLength = 256 * 1024;

/** Milliseconds without a grammar after which the thread goes, and with it 60 MB and more. */
const idleMs = 5 * 60_000;

export interface OpenConstraint extends Disposable {
  /** For the engine's thread. */
  handle: ConstraintHandle;
}

interface Opened {
  source: GrammarSource;
  shared: SharedConstraint;
  /** Until the grammar is compiled. */
  pending: PromiseWithResolvers<void> | undefined;
}

/**
 * Grammars as the engine's caller sees them. The first one starts the thread that follows them. A grammar that
 * kills the thread, or keeps it for too long, is refused, and a new thread goes on with the others.
 */
export class Grammars implements Disposable {
  readonly #vocabulary: () => Promise<Vocabulary>;
  readonly #vocabularySize: number;
  readonly #compileDeadlineMs: number;
  readonly #doorbell = new Doorbell();
  /** In the order in which they are compiled. */
  readonly #open = new Map<number, Opened>();
  #thread: GrammarThread | undefined;
  #deadline: NodeJS.Timeout | undefined;
  #idle: NodeJS.Timeout | undefined;
  #nextId = 0;

  /** @param options.compileDeadlineMs that one grammar may take. @default 20 seconds */
  constructor(
    vocabulary: () => Promise<Vocabulary>,
    vocabularySize: number,
    options: { compileDeadlineMs?: number } = {},
  ) {
    this.#vocabulary = vocabulary;
    this.#vocabularySize = vocabularySize;
    this.#compileDeadlineMs = options.compileDeadlineMs ?? defaultCompileDeadlineMs;
  }

  /**
   * Resolves when the grammar is compiled.
   * @param maxTokens that the sequence may have, with the one that ends it
   * @throws GrammarError where it is no grammar; the signal's reason
   */
  async open(source: GrammarSource, maxTokens: number, signal?: AbortSignal): Promise<OpenConstraint> {
    if (source.ebnf.length > maxGrammarLength) {
      throw new GrammarError(
        `The grammar has ${source.ebnf.length} characters; ${maxGrammarLength} are allowed.`,
      );
    }
    const id = this.#nextId++;
    const shared = SharedConstraint.create(this.#vocabularySize, maxTokens);
    const pending = Promise.withResolvers<void>();
    const abort = () => pending.reject(signal!.reason);
    signal?.addEventListener('abort', abort, { once: true });
    clearTimeout(this.#idle);
    this.#open.set(id, { source, shared, pending });
    this.#post(this.#openMessage(id));
    if (!this.#deadline) this.#restartDeadline();
    const close = () => this.#close(id);
    try {
      await pending.promise;
    } catch (error) {
      close();
      throw error;
    } finally {
      signal?.removeEventListener('abort', abort);
    }
    const handle = { constraint: shared.memory, doorbell: this.#doorbell.memory };
    return { handle, [Symbol.dispose]: close };
  }

  #openMessage(id: number): ToGrammarThread {
    const { source, shared } = this.#open.get(id)!;
    return { type: 'open', id, ebnf: source.ebnf, longest: !!source.longest, constraint: shared.memory };
  }

  #close(id: number): void {
    const opened = this.#open.get(id);
    if (!opened) return;
    opened.shared.fail(); // the engine may wait for a mask still
    this.#open.delete(id);
    this.#thread?.post({ type: 'close', id });
    if (this.#open.size > 0) return;
    this.#idle = setTimeout(() => this.#letGo(), idleMs);
    this.#idle.unref();
  }

  #post(message: ToGrammarThread): void {
    if (!this.#thread) {
      const thread = new GrammarThread(this.#vocabulary, this.#doorbell.memory);
      thread.onMessage = (message) => this.#hear(message);
      thread.onLost = (cause) => this.#lost(cause);
      this.#thread = thread;
    }
    this.#thread.post(message);
  }

  #hear(message: FromGrammarThread): void {
    const opened = this.#open.get(message.id); // gone where it was closed meanwhile
    if (opened?.pending) {
      if (message.type === 'opened') opened.pending.resolve();
      else opened.pending.reject(new GrammarError(message.message));
      opened.pending = undefined;
    }
    this.#restartDeadline();
  }

  #restartDeadline(): void {
    clearTimeout(this.#deadline);
    this.#deadline = undefined;
    const isCompiling = this.#open.values().some(({ pending }) => pending !== undefined);
    if (isCompiling) this.#deadline = setTimeout(() => this.#lost(), this.#compileDeadlineMs);
  }

  /** What the thread was at is at fault; a new one goes on with the others. */
  #lost(cause?: unknown): void {
    this.#letGo();
    const compiling = this.#open.entries().find(([, { pending }]) => pending);
    if (!compiling) {
      this.#failAll(new EngineError('The thread that follows grammars failed.', { cause }));
      return;
    }
    const [id, { pending }] = compiling;
    const seconds = this.#compileDeadlineMs / 1000;
    const message = `The grammar is too complex: it takes more than ${seconds} seconds or too much memory.`;
    pending!.reject(new GrammarError(message, { cause }));
    this.#open.delete(id);
    for (const other of this.#open.keys()) this.#post(this.#openMessage(other));
    this.#restartDeadline();
  }

  #failAll(error: Error): void {
    for (const { pending, shared } of this.#open.values()) {
      pending?.reject(error);
      shared.fail();
    }
    this.#open.clear();
  }

  #letGo(): void {
    this.#thread?.[Symbol.dispose]();
    this.#thread = undefined;
    this.#doorbell.busy = false;
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#deadline);
    clearTimeout(this.#idle);
    this.#failAll(new EngineError('The engine was closed.'));
    this.#letGo();
  }
}
