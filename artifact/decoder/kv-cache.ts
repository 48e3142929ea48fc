import { Tensor } from '../onnxruntime/tensor.ts';

export interface CacheShape {
  layers: number;
  kvHeads: number;
  headSize: number;
  /** Tokens a sequence may hold. */
  capacity: number;
}

/**
 * Keys and values of one sequence, a buffer a layer and part. The runtime reads and writes them in place:
 * the same tensor is bound as past and as present.
 *
 * The buffers have their full length from the start, yet memory follows the tokens in use: fresh pages
 * come from the system untouched, and each head's rows fill from the front.
 */
export class KvCache implements Disposable {
  /** Bindings by input name and by output name. */
  readonly past: Record<string, Tensor> = {};
  readonly present: Record<string, Tensor> = {};
  /** Tokens in the cache. */
  length = 0;

  constructor({ layers, kvHeads, headSize, capacity }: CacheShape) {
    const shape = [1, kvHeads, capacity, headSize];
    for (let layer = 0; layer < layers; layer++) {
      for (const part of ['key', 'value']) {
        const tensor = new Tensor(new Float32Array(kvHeads * capacity * headSize), shape);
        this.past[`past_key_values.${layer}.${part}`] = tensor;
        this.present[`present.${layer}.${part}`] = tensor;
      }
    }
  }

  /** Gives the memory back without waiting for the garbage collector, which an idle process does not run. */
  [Symbol.dispose](): void {
    for (const [name, { data }] of Object.entries(this.past)) {
      delete this.past[name];
      const { buffer } = data;
      if (buffer instanceof ArrayBuffer) buffer.transfer(0);
    }
    for (const name of Object.keys(this.present)) delete this.present[name];
    this.length = 0;
  }
}
