import { FoldgateError } from '../../artifact/errors.ts';
import type { Session, SessionOptions } from '../../artifact/onnxruntime/session.ts';
import { Tensor } from '../../artifact/onnxruntime/tensor.ts';
import type { BlockMatrix } from '../graph/layer.ts';
import { GraphBuilder } from '../onnx/graph.ts';
import type { Optimizer } from './optimizer.ts';
import { trainingSession } from './session.ts';
import type { State } from './state-file.ts';

/** Something that is trained: its numbers and their gradient, in arrays that stay where they are. */
export interface Parameter {
  /** Unique: a saved state finds its moments by it. */
  name: string;
  values: Float32Array;
  gradient: Float32Array;
  /** Matrices decay. Vectors (norms, biases) and gains do not, and have learning rates of their own. */
  kind: 'matrix' | 'vector' | 'gain';
  /** Factor on its learning rate, besides that of its kind. @default 1 */
  rate?: number;
  /** Which matrix of a block it is, where it is one. */
  matrix?: BlockMatrix;
}

export interface AdamWOptions extends SessionOptions {
  /** Decay of the gradient's running mean, and of its square's. @default 0.9 and 0.95 */
  betas?: readonly [number, number];
  /** @default 1e-8 */
  epsilon?: number;
  /** Share of a matrix that is taken away at each step, times the learning rate. @default 0.01 */
  weightDecay?: number;
  /** Factor on the learning rate of vectors. @default 1 */
  vectorRate?: number;
  /** Factor on the learning rate of gains. @default 1 */
  gainRate?: number;
  /** Largest norm of all gradients together; longer ones are scaled down to it. @default 1 */
  clipNorm?: number;
}

/** The moments of one parameter: running means of the gradient and of its square. */
export interface Moments {
  mean: Float32Array;
  square: Float32Array;
}

/** Numbers updated at a time: 1 MB an array, so that what lies between two operators stays in the cache. */
const chunk = 2 ** 18;

/** AdamW (arXiv 1711.05101), run by ONNX Runtime; values and moments are updated where they are. */
export class AdamW implements Optimizer {
  readonly parameters: readonly Parameter[];
  /** In the order of the parameters. */
  readonly moments: readonly Moments[];
  steps = 0;
  readonly #options: Required<Omit<AdamWOptions, keyof SessionOptions>>;
  readonly #session: Session;

  constructor(parameters: readonly Parameter[], options: AdamWOptions = {}) {
    const {
      betas = [0.9, 0.95],
      epsilon = 1e-8,
      weightDecay = 0.01,
      vectorRate = 1,
      gainRate = 1,
      clipNorm = 1,
      ...session
    } = options;
    this.parameters = parameters;
    this.moments = parameters.map(({ values }) => ({
      mean: new Float32Array(values.length),
      square: new Float32Array(values.length),
    }));
    this.#options = { betas, epsilon, weightDecay, vectorRate, gainRate, clipNorm };
    this.#session = trainingSession(adamwGraph(betas, epsilon), session);
  }

  get arrays(): State['arrays'] {
    return this.parameters.flatMap(({ name, values }, i) => [
      [`${name}.values`, values],
      [`${name}.mean`, this.moments[i]!.mean],
      [`${name}.square`, this.moments[i]!.square],
    ]);
  }

  /** Gradients are left as they are. */
  step(learningRate: number): number {
    const { betas, weightDecay, vectorRate, gainRate, clipNorm } = this.#options;
    const factors = { matrix: 1, vector: vectorRate, gain: gainRate };
    const norm = gradientNorm(this.parameters);
    if (!Number.isFinite(norm)) {
      throw new FoldgateError(
        `The training has diverged: the gradient's norm is ${norm} after ${this.steps} steps. Lower the learning rate.`,
      );
    }
    this.steps++;
    const scale = scalar(norm > clipNorm ? clipNorm / norm : 1);
    const corrections = betas.map((beta) => 1 - beta ** this.steps);
    const squareCorrection = scalar(1 / Math.sqrt(corrections[1]!));
    for (const [i, parameter] of this.parameters.entries()) {
      const rate = learningRate * factors[parameter.kind] * (parameter.rate ?? 1);
      const scalars = {
        scale,
        squareCorrection,
        keep: scalar(parameter.kind === 'matrix' ? 1 - rate * weightDecay : 1),
        rate: scalar(rate / corrections[0]!),
      };
      this.#update(parameter, this.moments[i]!, scalars);
    }
    return norm;
  }

  #update({ values, gradient }: Parameter, { mean, square }: Moments, scalars: Record<string, Tensor>): void {
    for (let start = 0; start < values.length; start += chunk) {
      const part = (all: Float32Array) => {
        const some = all.subarray(start, start + chunk);
        return new Tensor(some, [some.length]);
      };
      const [w, m, v] = [part(values), part(mean), part(square)];
      const inputs = { ...scalars, gradient: part(gradient), values: w, mean: m, square: v };
      // Each number is read before it is written, by the one operator that reads it: in place is safe.
      this.#session.run(inputs, { 'values.new': w, 'mean.new': m, 'square.new': v });
    }
  }

  [Symbol.dispose](): void {
    this.#session[Symbol.dispose]();
  }
}

/** Euclidean norm of all gradients together. */
function gradientNorm(parameters: readonly Pick<Parameter, 'gradient'>[]): number {
  let sum = 0;
  for (const { gradient } of parameters) {
    for (let i = 0; i < gradient.length; i++) sum += gradient[i]! * gradient[i]!;
  }
  return Math.sqrt(sum);
}

function scalar(value: number): Tensor {
  return new Tensor(Float32Array.of(value), []);
}

function adamwGraph([beta1, beta2]: readonly [number, number], epsilon: number): Uint8Array {
  const g = new GraphBuilder();
  const vector = (name: string) => g.input(name, 'float32', ['n']);
  const number = (name: string) => g.input(name, 'float32', []);
  const constant = (name: string, value: number) => g.constant(name, 'float32', [], Float32Array.of(value));
  const mul = (a: string, b: string) => g.node('Mul', [a, b]);

  const gradient = mul(vector('gradient'), number('scale'));
  const running = (name: string, beta: number, value: string) => {
    const kept = mul(vector(name), constant(`${name}.beta`, beta));
    const added = mul(value, constant(`${name}.rest`, 1 - beta));
    return g.node('Add', [kept, added], { outputs: [`${name}.new`] });
  };
  const mean = running('mean', beta1, gradient);
  const square = running('square', beta2, mul(gradient, gradient));
  const root = mul(g.node('Sqrt', [square]), number('squareCorrection'));
  const direction = g.node('Div', [mean, g.node('Add', [root, constant('epsilon', epsilon)])]);
  const kept = mul(vector('values'), number('keep'));
  g.node('Sub', [kept, mul(direction, number('rate'))], { outputs: ['values.new'] });
  for (const name of ['values', 'mean', 'square']) g.output(`${name}.new`, 'float32', ['n']);
  return g.build('adamw');
}
