import type { GraphBuilder } from '../onnx/graph.ts';

/** Codes of activations reach from -127 to 127, kept from 1 to 255 around this. */
const zeroPoint = 128;
const largestActivation = 127;

/** A row of nothing but zeros: its step must not be zero. */
const leastMagnitude = 1e-30;

/** A matrix in int8 with a step for each output. */
export interface Int8Matrix {
  /** [inputs, outputs] int8 */
  codes: string;
  /** [outputs] float32: what a code of 1 stands for. */
  steps: string;
}

/**
 * Products of activations in int8 with a step for each token, and weights in int8 with a step for each output (LLM.int8,
 * arXiv 2208.07339, without its outliers): sums of integers, which are the same however rows are put together. Twice as
 * fast as `MatMulNBits` over many rows, slower over one.
 */
export class Int8Products {
  readonly #g: GraphBuilder;
  /** By the name of what was rounded: gate and up have the same inputs. */
  readonly #rounded = new Map<string, { codes: string; step: string }>();

  constructor(g: GraphBuilder) {
    this.#g = g;
  }

  /** [batch, tokens, inputs] -> [batch, tokens, outputs] */
  product(x: string, { codes: weights, steps }: Int8Matrix): string {
    const { codes, step } = this.#round(x);
    const product = this.#g.node(
      'MatMulIntegerToFloat',
      [codes, weights, this.#float('int8.one', 1), steps, this.#zeroPoint()],
      { domain: 'com.microsoft' },
    );
    return this.#g.node('Mul', [product, step]);
  }

  #round(x: string): { codes: string; step: string } {
    let rounded = this.#rounded.get(x);
    if (!rounded) {
      const g = this.#g;
      const last = g.constant('int8.last', 'int64', [1], BigInt64Array.of(-1n));
      const magnitudes = g.node('ReduceMax', [g.node('Abs', [x]), last]);
      const largest = g.node('Max', [magnitudes, this.#float('int8.least', leastMagnitude)]);
      const perCode = g.node('Div', [this.#float('int8.largest', largestActivation), largest]);
      const scaled = g.node('Mul', [x, perCode]);
      rounded = {
        codes: g.node('QuantizeLinear', [scaled, this.#float('int8.one', 1), this.#zeroPoint()]),
        step: g.node('Mul', [largest, this.#float('int8.step', 1 / largestActivation)]),
      };
      this.#rounded.set(x, rounded);
    }
    return rounded;
  }

  #float(name: string, value: number): string {
    return this.#g.constant(name, 'float32', [], Float32Array.of(value));
  }

  #zeroPoint(): string {
    return this.#g.constant('int8.zero', 'uint8', [], Uint8Array.of(zeroPoint));
  }
}
