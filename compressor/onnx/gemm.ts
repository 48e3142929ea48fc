import { Session } from '../../artifact/onnxruntime/session.ts';
import type { Tensor } from '../../artifact/onnxruntime/tensor.ts';
import { GraphBuilder } from './graph.ts';

export interface GemmOptions {
  transA?: boolean;
  transB?: boolean;
  /** @default 1 */
  alpha?: number;
}

/** `y = c + alpha * a b`, where a and b may be given transposed. `c` and `y` may be one tensor. */
export class Gemm implements Disposable {
  readonly #session: Session;

  constructor({ transA = false, transB = false, alpha = 1 }: GemmOptions = {}) {
    const g = new GraphBuilder();
    g.input('a', 'float32', ['a0', 'a1']);
    g.input('b', 'float32', ['b0', 'b1']);
    g.input('c', 'float32', ['rows', 'columns']);
    g.node('Gemm', ['a', 'b', 'c'], {
      attributes: { transA: Number(transA), transB: Number(transB), alpha: { float: alpha } },
      outputs: ['y'],
    });
    g.output('y', 'float32', ['rows', 'columns']);
    // Between two products lies work of one thread: spinning would take the cores from it.
    this.#session = new Session(g.build('gemm'), { spinning: false });
  }

  run(a: Tensor, b: Tensor, c: Tensor, y: Tensor): void {
    this.#session.run({ a, b, c }, { y });
  }

  [Symbol.dispose](): void {
    this.#session[Symbol.dispose]();
  }
}
