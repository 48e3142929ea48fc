/**
 * What a sequence's constraint is between the engine's thread and the grammars': memory that both see. The engine
 * writes the tokens it took, the other thread the mask of those that may come next, each followed by its count.
 * Nothing else says how far a sequence has come, so that another thread can take over from the memory alone.
 */
export class SharedConstraint {
  readonly memory: SharedArrayBuffer;
  /** One bit a token, 32 a number, lowest first; its rest is zero. */
  readonly mask: Int32Array;
  readonly #header: Int32Array;
  readonly #tokens: Int32Array;

  static create(vocabularySize: number, maxTokens: number): SharedConstraint {
    const words = headerWords + wordsOf(vocabularySize) + maxTokens;
    const memory = new SharedArrayBuffer(words * Int32Array.BYTES_PER_ELEMENT);
    new Int32Array(memory)[field.vocabulary] = vocabularySize;
    return new SharedConstraint(memory);
  }

  constructor(memory: SharedArrayBuffer) {
    this.memory = memory;
    this.#header = new Int32Array(memory, 0, headerWords);
    const words = wordsOf(this.#header[field.vocabulary]!);
    this.mask = new Int32Array(memory, this.#header.byteLength, words);
    this.#tokens = new Int32Array(memory, this.#header.byteLength + this.mask.byteLength);
  }

  /** Tokens taken so far. */
  get taken(): number {
    return Atomics.load(this.#header, field.taken);
  }

  token(index: number): number {
    return this.#tokens[index]!;
  }

  /** The engine's side: one more token. The mask is then no longer ready. */
  take(token: number): void {
    const { taken } = this;
    this.#tokens[taken] = token;
    Atomics.store(this.#header, field.taken, taken + 1);
  }

  /** Whether the mask is that of the next token. @throws Error where there will be none */
  get ready(): boolean {
    const masks = Atomics.load(this.#header, field.masks);
    if (masks === failed) throw new Error('The thread that follows its grammar failed.');
    return masks === this.taken + 1;
  }

  /** The other side: the mask for what follows `taken` tokens is there. */
  publish(taken: number): void {
    Atomics.store(this.#header, field.masks, taken + 1);
    Atomics.notify(this.#header, field.masks);
  }

  /** There will be no more masks. */
  fail(): void {
    Atomics.store(this.#header, field.masks, failed);
    Atomics.notify(this.#header, field.masks);
  }

  /** Waits for a mask. @returns whether it is ready */
  wait(milliseconds: number): boolean {
    const masks = Atomics.load(this.#header, field.masks);
    if (!this.ready) Atomics.wait(this.#header, field.masks, masks, milliseconds);
    return this.ready;
  }
}

/** `masks` counts those made, the first before any token. */
const field = { masks: 0, taken: 1, vocabulary: 2 } as const;
const headerWords = Object.keys(field).length;
const failed = -1;

function wordsOf(vocabularySize: number): number {
  return Math.ceil(vocabularySize / 32);
}

/** How the engine's thread reaches the grammars': it rings after every token, whichever thread answers by now. */
export class Doorbell {
  readonly memory: SharedArrayBuffer;
  readonly #fields: Int32Array;

  constructor(memory = new SharedArrayBuffer(2 * Int32Array.BYTES_PER_ELEMENT)) {
    this.memory = memory;
    this.#fields = new Int32Array(memory);
  }

  ring(): void {
    Atomics.add(this.#fields, 0, 1);
    Atomics.notify(this.#fields, 0);
  }

  get rings(): number {
    return Atomics.load(this.#fields, 0);
  }

  /** Resolves when it has rung since `rings` was read. */
  async after(rings: number): Promise<void> {
    await Atomics.waitAsync(this.#fields, 0, rings).value;
  }

  /** Whether the other thread is at something long: masks will take a while. */
  get busy(): boolean {
    return Atomics.load(this.#fields, 1) === 1;
  }

  set busy(busy: boolean) {
    Atomics.store(this.#fields, 1, busy ? 1 : 0);
  }
}
