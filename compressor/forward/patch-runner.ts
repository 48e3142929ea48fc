import type { Session, SessionOptions } from '../../artifact/onnxruntime/session.ts';
import { Tensor } from '../../artifact/onnxruntime/tensor.ts';
import type { Architecture } from '../checkpoint/architecture.ts';
import { computeSession } from '../device.ts';
import { GraphBuilder } from '../onnx/graph.ts';
import type { LinearPatch } from '../student/student.ts';

/** Runs linear patches in float32. */
export class PatchRunner implements Disposable {
  readonly #width: number;
  readonly #session: Session;

  constructor({ width }: Pick<Architecture, 'width'>, options: SessionOptions = {}) {
    this.#width = width;
    this.#session = computeSession(patchGraph(width), options);
  }

  /** @param hidden [tokens, width]. @returns h + weight h + bias, new memory. */
  run({ weight, bias }: LinearPatch, hidden: Float32Array): Float32Array {
    const shape = [hidden.length / this.#width, this.#width];
    const out = new Tensor(new Float32Array(hidden.length), shape);
    this.#session.run(
      {
        hidden: new Tensor(hidden, shape),
        weight: new Tensor(weight, [this.#width, this.#width]),
        bias: new Tensor(bias, [this.#width]),
      },
      { out },
    );
    return out.data;
  }

  [Symbol.dispose](): void {
    this.#session[Symbol.dispose]();
  }
}

function patchGraph(width: number): Uint8Array {
  const g = new GraphBuilder();
  const hidden = g.input('hidden', 'float32', ['tokens', width]);
  const weight = g.input('weight', 'float32', [width, width]);
  const bias = g.input('bias', 'float32', [width]);
  const mapped = g.node('Gemm', [hidden, weight, bias], { attributes: { transB: 1 } });
  g.node('Add', [hidden, mapped], { outputs: ['out'] });
  g.output('out', 'float32', ['tokens', width]);
  return g.build('patch');
}
