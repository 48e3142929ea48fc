import type { SessionOptions } from '../../artifact/onnxruntime/session.ts';
import type { Checkpoint } from '../checkpoint/checkpoint.ts';
import { inSteps } from '../forward/between-steps.ts';
import { readLayer } from '../weights/block.ts';
import type { BatchShape } from './layer-expression.ts';
import { LayerTrainer } from './layer-gradient.ts';

type LayerWeights = Awaited<ReturnType<typeof readLayer>>;

/** What the teacher says to some batches. */
export interface Lesson {
  /** After the last layer, per batch [batch * tokens, width]. */
  final: Float32Array[];
  /** By the checkpoint's layer, per batch: what comes out of it. */
  outputs: Map<number, Float32Array[]>;
}

/** The checkpoint, layer by layer over several batches, so that each layer's weights are fetched once for all. */
export class Teacher implements Disposable {
  readonly #checkpoint: Checkpoint;
  readonly #layers: LayerTrainer;
  /** By layer, where weights are kept. */
  readonly #kept: LayerWeights[] | undefined;

  /** @param keep holds all weights in memory in float32, instead of reading them for every lesson */
  constructor(checkpoint: Checkpoint, shape: BatchShape, keep: boolean, options: SessionOptions = {}) {
    this.#checkpoint = checkpoint;
    this.#layers = new LayerTrainer(checkpoint.architecture, shape, { spinning: false, ...options });
    this.#kept = keep ? [] : undefined;
  }

  /**
   * @param embedded batches of embedded tokens, each [batch * tokens, width]
   * @param wanted layers whose outputs are asked for
   */
  async teach(embedded: Float32Array[], wanted: ReadonlySet<number>, signal?: AbortSignal): Promise<Lesson> {
    const outputs = new Map<number, Float32Array[]>();
    let states = embedded;
    for (const layer of this.#checkpoint.architecture.layers.keys()) {
      const { block, norms } = await this.#weights(layer);
      states = await inSteps(states, (state) => this.#layers.forward(layer, block, norms, state), signal);
      if (wanted.has(layer)) outputs.set(layer, states);
    }
    return { final: states, outputs };
  }

  async #weights(layer: number): Promise<LayerWeights> {
    const known = this.#kept?.[layer];
    if (known) return known;
    const weights = await readLayer(this.#checkpoint, layer);
    if (this.#kept) this.#kept[layer] = weights;
    return weights;
  }

  [Symbol.dispose](): void {
    this.#layers[Symbol.dispose]();
  }
}
