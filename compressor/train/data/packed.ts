import { UsageError } from '../../../artifact/errors.ts';
import type { Document } from './documents.ts';
import type { DocumentEncoder } from './encoder.ts';
import { shuffle } from './order.ts';

/** Where the next sequence begins. JSON. */
export interface Position {
  /** Passes over all documents that are done. */
  pass: number;
  /** Documents of this pass that are done, in its order. */
  document: number;
  /** Tokens of the next document that are done. */
  token: number;
}

/** Sequences of equal length, one after the other. */
export interface Batch {
  /** Token ids, [batch, length]. */
  tokens: Int32Array;
  /** The token that follows each position. */
  targets: Int32Array;
}

export interface PackedOptions {
  seed: number;
  /** Tokens of a sequence, the beginning included. */
  length: number;
  /** @default the start */
  position?: Position;
}

/**
 * Documents in a seeded order, one after the other without gaps, cut into sequences of one length. Each
 * begins as the tokenizer begins any text, so that the model meets its attention sink where it stands when
 * serving; a document that goes over a cut goes on in the next sequence. Never ends: after the last
 * document the next pass begins, in another order.
 */
export class PackedSequences {
  readonly #documents: readonly Document[];
  readonly #encoder: DocumentEncoder;
  readonly #options: PackedOptions;
  #pass = -1;
  #order: Document[] = [];
  #position: Position;
  /** Of the document at the position. */
  #tokens: number[] | undefined;

  constructor(documents: readonly Document[], encoder: DocumentEncoder, options: PackedOptions) {
    this.#documents = documents;
    this.#encoder = encoder;
    this.#options = options;
    this.#position = { ...(options.position ?? { pass: 0, document: 0, token: 0 }) };
  }

  /** A stream made with it goes on where this one stands. */
  get position(): Position {
    return { ...this.#position };
  }

  next(batch: number): Batch {
    const { length } = this.#options;
    const tokens = new Int32Array(batch * length);
    const targets = new Int32Array(batch * length);
    for (let i = 0; i < batch; i++)
      this.#fill(tokens.subarray(i * length), targets.subarray(i * length), length);
    return { tokens, targets };
  }

  #fill(tokens: Int32Array, targets: Int32Array, length: number): void {
    const { beginning } = this.#encoder;
    let filled = 0;
    // A document's own beginning does for the sequence.
    this.#peek();
    if (this.#position.token > 0) for (const id of beginning) tokens[filled++] = id;
    while (filled < length) {
      tokens[filled++] = this.#peek();
      this.#position.token++;
    }
    targets.set(tokens.subarray(1, length));
    targets[length - 1] = this.#peek();
  }

  /** The token at the position, which moves to the next document where one is done. */
  #peek(): number {
    const position = this.#position;
    for (let empty = 0; ; empty++) {
      if (empty > 2 * this.#documents.length)
        throw new UsageError('The tokenizer knows no character of the training data.');
      if (this.#pass !== position.pass) {
        this.#order = shuffle(this.#documents, this.#options.seed, position.pass);
        this.#pass = position.pass;
      }
      this.#tokens ??= this.#encoder.encode(this.#order[position.document]!);
      const token = this.#tokens[position.token];
      if (token !== undefined) return token;
      this.#tokens = undefined;
      position.token = 0;
      if (++position.document === this.#order.length) {
        position.document = 0;
        position.pass++;
      }
    }
  }
}
