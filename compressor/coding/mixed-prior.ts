import { probabilityBits } from './binary-coder.ts';

/** Of the contexts: none, a byte, two bytes. */
const tables = 3;

/** Two bytes are hashed into 12 bits: 64 KB of numbers teach no more contexts than that. */
const hashShift = 20;
const allContexts = 1 + 256 + 2 ** (32 - hashShift);

/** Of the logistic domain, in which probabilities are mixed: so many steps to a unit, and units to each side. */
const steps = 128;
const units = 12;

/** How fast weights of the mix follow what they got wrong. */
const learningRate = 0.003;

/** Times that a probability was seen before it moves no slower: what it was fitted to may change. */
const mostSeen = 250;

const one = 2 ** probabilityBits;
const logistic = Uint16Array.from({ length: 2 * steps * units + 1 }, (_, i) => {
  const probability = 1 / (1 + Math.exp(units - i / steps));
  return Math.min(one - 16, Math.max(16, Math.round(one * probability)));
});
/** ln(p / (1 - p)), by the first 12 of the 16 bits of p. */
const logit = Float64Array.from({ length: 4096 }, (_, i) => Math.log((i + 0.5) / (4095.5 - i)));
const share = Int32Array.from({ length: mostSeen + 1 }, (_, seen) => Math.round(one / (seen + 1.6)));

/**
 * What the next bit of a number will be, learned while the numbers go by: three tables of counts, each under another
 * context (none; the byte that tells most; two bytes), mixed in the logistic domain by weights that are trained on
 * every bit. That is context mixing as in PAQ (Mahoney), over one plane of bytes. Encoder and decoder learn alike, so
 * the prior itself is never sent.
 */
export class MixedPrior {
  /** Probabilities of a 1, and how often each was asked for: [contexts of all tables, partial byte]. */
  readonly #probabilities = new Uint16Array(256 * allContexts).fill(one / 2);
  readonly #seen = new Uint8Array(256 * allContexts);
  /** [bits of a byte that are known, tables] */
  readonly #weights = new Float64Array(8 * tables).fill(0.4);
  /** What the tables said of the next bit, in the logistic domain. */
  readonly #said = new Float64Array(tables);
  /** Where the present contexts of the second and third table begin. */
  #near = 0;
  #both = 0;
  #partial = 1;
  #known = 0;
  #mixed = 0;

  /** Begins a byte. @param near the byte that tells most about it. @param far another */
  begin(near: number, far: number): void {
    this.#partial = 1;
    this.#known = 0;
    this.#near = (1 + near) << 8;
    this.#both = (257 + (Math.imul((near << 8) | far, 0x9e3779b1) >>> hashShift)) << 8;
  }

  /** Of a 1, for the coder. */
  get probability(): number {
    const probabilities = this.#probabilities;
    const weights = this.#weights;
    const partial = this.#partial;
    const w = tables * this.#known;
    // Written out: this is the whole cost of a bit.
    const a = logit[probabilities[partial]! >>> 4]!;
    const b = logit[probabilities[this.#near | partial]! >>> 4]!;
    const c = logit[probabilities[this.#both | partial]! >>> 4]!;
    this.#said[0] = a;
    this.#said[1] = b;
    this.#said[2] = c;
    const sum = weights[w]! * a + weights[w + 1]! * b + weights[w + 2]! * c;
    const place = ((Math.min(units, Math.max(-units, sum)) + units) * steps) | 0;
    this.#mixed = logistic[place]!;
    return this.#mixed;
  }

  /** Learns what the bit was. */
  update(bit: number): void {
    const said = this.#said;
    const weights = this.#weights;
    const partial = this.#partial;
    const w = tables * this.#known;
    const error = (bit - this.#mixed / one) * learningRate;
    weights[w]! += error * said[0]!;
    weights[w + 1]! += error * said[1]!;
    weights[w + 2]! += error * said[2]!;
    const target = bit * (one - 1);
    this.#learn(partial, target);
    this.#learn(this.#near | partial, target);
    this.#learn(this.#both | partial, target);
    this.#partial = (partial << 1) | bit;
    this.#known++;
  }

  #learn(at: number, target: number): void {
    const times = this.#seen[at]!;
    const before = this.#probabilities[at]!;
    this.#probabilities[at] = before + (((target - before) * share[times]!) >> probabilityBits);
    if (times < mostSeen) this.#seen[at] = times + 1;
  }
}
