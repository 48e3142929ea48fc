import type { SessionOptions } from '../../artifact/onnxruntime/session.ts';
import { architectureOfBlock } from '../checkpoint/architecture.ts';
import { betweenSteps } from '../forward/between-steps.ts';
import { PatchRunner } from '../forward/patch-runner.ts';
import type { BlockWeights } from '../weights/block.ts';
import { type CuredPart, trainsBlocks } from './cure-options.ts';
import type { BatchShape } from './layer-expression.ts';
import { activationLength, LayerTrainer } from './layer-gradient.ts';
import { PatchGradient } from './patch-gradient.ts';
import type { TrainedWeights } from './trained-weights.ts';

/** What a forward pass leaves for the way back: one state a layer. Good until the next pass. */
export interface Trace {
  /** By layer, [batch * tokens, width]: what goes into it. */
  inputs: Float32Array[];
  /** By layer: what comes out of it, before a patch. The same memory as the next input where there is none. */
  outputs: Float32Array[];
  /** After the last layer. */
  final: Float32Array;
}

/** Takes one batch through all layers of a student, and back. */
export class StudentPass implements Disposable {
  readonly #weights: TrainedWeights;
  /** What runs for the weights' blocks. */
  readonly #blocks: readonly BlockWeights[];
  readonly #layers: LayerTrainer;
  readonly #patches: PatchRunner;
  readonly #patchGradient: PatchGradient;
  /** By layer: what the way back would compute again. Empty where that is what it does. */
  readonly #activations: Float32Array[];

  /**
   * @param keepActivations spends memory to save a fifth of the work
   * @param blocks what runs for the weights' blocks: these, or what they are rounded to
   */
  constructor(
    weights: TrainedWeights,
    shape: BatchShape,
    part: CuredPart,
    keepActivations: boolean,
    options: SessionOptions = {},
    blocks: readonly BlockWeights[] = weights.blocks,
  ) {
    const { architecture } = weights;
    const quiet = { spinning: false, ...options };
    this.#weights = weights;
    this.#blocks = blocks;
    this.#layers = new LayerTrainer(architecture, shape, {
      trainable: part === 'model' ? 'all' : part,
      ...quiet,
    });
    this.#patches = new PatchRunner(architecture, quiet);
    const { widths } = weights;
    const lengthOf = ({ block, half }: (typeof weights.layers)[number]) =>
      activationLength(architectureOfBlock(architecture, widths, block), shape, half);
    this.#activations = keepActivations
      ? weights.layers.map((layer) => new Float32Array(lengthOf(layer)))
      : [];
    this.#patchGradient = new PatchGradient(architecture.width, trainsBlocks(part), options);
  }

  /** @param hidden embedded tokens, [batch * tokens, width] */
  async forward(hidden: Float32Array, signal?: AbortSignal): Promise<Trace> {
    const { layers, patches } = this.#weights;
    const trace: Trace = { inputs: [], outputs: [], final: hidden };
    for (const [i, { source, block }] of layers.entries()) {
      await betweenSteps(signal);
      trace.inputs.push(trace.final);
      const kept = this.#activations[i];
      const own = this.#weights.ownAtWork(i);
      const out = this.#layers.forward(source, this.#blocks[block]!, own, trace.final, 1, kept);
      trace.outputs.push(out);
      const patch = patches[i];
      trace.final = patch ? this.#patches.run(patch, out) : out;
    }
    return trace;
  }

  /**
   * Adds the gradients of all weights to `weights.gradients`.
   * @param gradient dLoss/dFinal
   * @param atOutputs by layer: what the loss has of its output besides, or nothing. Added to in place.
   * @returns dLoss/dHidden of the embedded tokens
   */
  async backward(
    trace: Trace,
    gradient: Float32Array,
    atOutputs: ReadonlyMap<number, Float32Array>,
    signal?: AbortSignal,
  ): Promise<Float32Array> {
    const { layers, patches, gradients } = this.#weights;
    let current = gradient;
    for (let i = layers.length - 1; i >= 0; i--) {
      await betweenSteps(signal);
      const { source, block } = layers[i]!;
      const patch = patches[i];
      if (patch) current = this.#patchGradient.run(patch, trace.outputs[i]!, current, gradients.patches[i]!);
      const extra = atOutputs.get(i);
      if (extra) for (let k = 0; k < current.length; k++) current[k]! += extra[k]!;
      const into = this.#weights.layerGradients(i);
      current = this.#layers.backward(
        source,
        this.#blocks[block]!,
        this.#weights.ownAtWork(i),
        trace.inputs[i]!,
        current,
        into,
        1,
        this.#activations[i],
      ).hidden;
      this.#weights.gather(i);
    }
    return current;
  }

  [Symbol.dispose](): void {
    for (const each of [this.#layers, this.#patches, this.#patchGradient]) each[Symbol.dispose]();
  }
}
