import type { Session, SessionOptions } from '../../artifact/onnxruntime/session.ts';
import { Tensor } from '../../artifact/onnxruntime/tensor.ts';
import { GraphBuilder } from '../onnx/graph.ts';
import type { LinearPatch } from '../student/student.ts';
import { trainingSession } from './session.ts';

/** Goes back through linear patches, out = h + weight h + bias. */
export class PatchGradient implements Disposable {
  readonly #width: number;
  readonly #trained: boolean;
  readonly #session: Session;

  /** @param trained whether the patches' own gradients are computed */
  constructor(width: number, trained: boolean, options: SessionOptions = {}) {
    this.#width = width;
    this.#trained = trained;
    this.#session = trainingSession(patchGradientGraph(width, trained), options);
  }

  /**
   * @param hidden [tokens, width], what the patch was given
   * @param gradOut dLoss/dOut, of the same shape
   * @param into takes the patch's gradients, added to what is there
   * @returns dLoss/dHidden, new memory
   */
  run({ weight }: LinearPatch, hidden: Float32Array, gradOut: Float32Array, into: LinearPatch): Float32Array {
    const width = this.#width;
    const shape = [hidden.length / width, width];
    const out = new Tensor(new Float32Array(hidden.length), shape);
    const inputs = { weight: new Tensor(weight, [width, width]), out: new Tensor(gradOut, shape) };
    if (!this.#trained) {
      this.#session.run(inputs, { 'hidden.gradient': out });
      return out.data;
    }
    const weightSum = new Tensor(into.weight, [width, width]);
    const biasSum = new Tensor(into.bias, [width]);
    // Sums are written where they lie: each is read first, by the operator that writes it.
    this.#session.run(
      { ...inputs, hidden: new Tensor(hidden, shape), 'weight.sum': weightSum, 'bias.sum': biasSum },
      { 'hidden.gradient': out, 'weight.gradient': weightSum, 'bias.gradient': biasSum },
    );
    return out.data;
  }

  [Symbol.dispose](): void {
    this.#session[Symbol.dispose]();
  }
}

function patchGradientGraph(width: number, trained: boolean): Uint8Array {
  const g = new GraphBuilder();
  const weight = g.input('weight', 'float32', [width, width]);
  const out = g.input('out', 'float32', ['tokens', width]);
  // dh = g + W^T g, for rows of tokens: g + g W.
  g.node('Gemm', [out, weight, out], { outputs: ['hidden.gradient'] });
  g.output('hidden.gradient', 'float32', ['tokens', width]);
  if (trained) {
    const hidden = g.input('hidden', 'float32', ['tokens', width]);
    const weightSum = g.input('weight.sum', 'float32', [width, width]);
    const biasSum = g.input('bias.sum', 'float32', [width]);
    g.node('Gemm', [out, hidden, weightSum], { attributes: { transA: 1 }, outputs: ['weight.gradient'] });
    const axis = g.constant('axis', 'int64', [1], BigInt64Array.of(0n));
    const bias = g.node('ReduceSum', [out, axis], { attributes: { keepdims: 0 } });
    g.node('Add', [biasSum, bias], { outputs: ['bias.gradient'] });
    g.output('weight.gradient', 'float32', [width, width]);
    g.output('bias.gradient', 'float32', [width]);
  }
  return g.build('patch-gradient');
}
