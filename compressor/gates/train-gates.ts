import { withResource } from '../../artifact/dispose.ts';
import { halves } from '../../artifact/manifest.ts';
import type { Checkpoint } from '../checkpoint/checkpoint.ts';
import type { EvaluateOptions } from '../evaluate/student.ts';
import { longestOf, type TextWindows } from '../evaluate/windows.ts';
import { betweenSteps } from '../forward/between-steps.ts';
import { embed } from '../forward/embed.ts';
import { readHead } from '../train/head.ts';
import { LayerTrainer } from '../train/layer-gradient.ts';
import { TiledLoss } from '../train/tiled-loss.ts';
import {
  type BlockWeights,
  blockParameters,
  type NormWeights,
  normsOfHalf,
  readLayer,
} from '../weights/block.ts';
import { joined } from '../weights/joined.ts';
import { Adam } from './adam.ts';
import { gate, gateSlope } from './gate.ts';

export interface GateOptions extends EvaluateOptions {
  /** Share of the blocks' parameters that should go: the gates' expected size is driven to 1 - remove. */
  remove: number;
  /** What has a gate of its own: every layer, or the attention and the MLP of every layer. @default layers */
  gated?: 'layers' | 'halves';
  /** Layers whose gates stay open. @default [] */
  keep?: readonly number[];
  /** @default 60 */
  steps?: number;
  /** Windows a step. @default 2 */
  batch?: number;
  /** How far an α moves a step, at most. @default 3 / steps: far enough to shut and to open again */
  learningRate?: number;
  /**
   * What each layer beyond the size asked for costs at the end, in nats a layer; it rises from 0. More than
   * the polarization, or that holds open what should shut. @default 3
   */
  pressure?: number;
  /** Weight of g (1 - g) at the end, in nats a layer; it rises from 0 and parts the gates. @default 1 */
  polarization?: number;
  /** ε falls from the first to the second, by a constant factor a step. @default [0.1, 0.001] */
  epsilon?: readonly [from: number, to: number];
}

/** One step of the training. */
export interface GateStep {
  step: number;
  /** Cross-entropy of the gated model on the step's windows, nats a token. */
  loss: number;
  /** Expected size: the cost-weighted mean of the gates. */
  size: number;
  epsilon: number;
  /** By layer; where halves have gates, that of attention before that of the MLP. */
  gates: number[];
}

export interface TrainedGates {
  /** In the order of `GateStep.gates`; the higher, the more it matters. */
  alphas: number[];
  gates: number[];
  history: GateStep[];
}

/**
 * FoldGPT's ranking (arXiv 2407.00928): one learnable gate a layer, h + g(α) (layer(h) - h), all other
 * weights frozen. The loss is the language-modelling loss + λ (Σ g - kept)² + μ Σ g (1 - g), λ and μ
 * rising, so that the layers the model can spare best together are shut: unlike scores of single layers,
 * gates see what the removal of one does to another. Halves of layers may have gates apart: attention then adds
 * g(α) attention(h) to h, and the MLP g(β) mlp(h') to what comes of it; each counts in Σ g by its share of a
 * layer's parameters.
 */
export async function trainGates(
  checkpoint: Checkpoint,
  text: TextWindows,
  options: GateOptions,
): Promise<TrainedGates> {
  const { architecture: a } = checkpoint;
  const { batch = 2, gated = 'layers' } = options;
  const tokens = longestOf(text.windows);
  // The graphs are built for one shape: the text's last, shorter window stays out.
  const whole = [...text.windows.keys()].filter((i) => text.windows[i]!.length === tokens);
  const shape = { batch: Math.min(batch, whole.length), tokens };
  const trainer = new LayerTrainer(a, shape, { trainable: 'gate' });
  return withResource(trainer, () =>
    withResource(new TiledLoss({ width: a.width, normEpsilon: a.normEpsilon }), async (loss) => {
      const model = await readModel(checkpoint, gated);
      const run = new GateRun(model, checkpoint, trainer, loss);
      return train(run, { text, whole, shape }, options);
    }),
  );
}

async function train(
  run: GateRun,
  { text, whole, shape }: { text: TextWindows; whole: number[]; shape: { batch: number; tokens: number } },
  options: GateOptions,
): Promise<TrainedGates> {
  const { parts } = run;
  const costs = parts.map(({ cost }) => cost);
  const layers = costs.reduce((sum, cost) => sum + cost, 0);
  const { steps = 60, pressure = 3, polarization = 1, epsilon: [from, to] = [0.1, 0.001] } = options;
  const adam = new Adam(parts.length, options.learningRate ?? 3 / steps);
  const alphas = new Array<number>(parts.length).fill(1);
  const history: GateStep[] = [];
  for (let step = 0; step < steps; step++) {
    const progress = steps === 1 ? 1 : step / (steps - 1);
    const epsilon = from * (to / from) ** progress;
    const gates = alphas.map((alpha) => gate(alpha, epsilon));
    const chosen = Array.from(
      { length: shape.batch },
      (_, i) => whole[(step * shape.batch + i) % whole.length]!,
    );
    const windows = chosen.map((i) => text.windows[i]!);
    const targets = chosen.map((i) => text.targets[i]!);
    const { loss, slopes } = await run.slopes(windows, targets, gates, options.signal);
    // All layers of a model cost the same.
    const size = gates.reduce((sum, g, i) => sum + costs[i]! * g, 0) / layers;
    const excess = layers * (size - (1 - options.remove));
    const push = pressure * progress ** 2 * excess;
    // Without this, gates whose layers matter alike settle half open, where the loss is flattest.
    const part = polarization * progress ** 2;
    const gradient = slopes.map(
      (slope, i) =>
        (slope + costs[i]! * (push + part * (1 - 2 * gates[i]!))) * gateSlope(alphas[i]!, epsilon),
    );
    for (const [i, { layer }] of parts.entries()) if (options.keep?.includes(layer)) gradient[i] = 0;
    adam.step(alphas, gradient);
    // At 0 a gate could never open again, and beyond 1.5 it takes too long to come back.
    for (const [i, alpha] of alphas.entries()) alphas[i] = Math.min(Math.max(alpha, 0.003), 1.5);
    history.push({ step, loss, size, epsilon, gates: gates.map(rounded) });
    options.onProgress?.(step + 1, steps);
  }
  return { alphas, gates: alphas.map((alpha) => gate(alpha, to)), history };
}

/** Enough for a picture, and for a plan that people read. */
function rounded(value: number): number {
  return Math.round(value * 1000) / 1000;
}

/** What one gate is before: a layer, or one half of it. */
interface GatedPart {
  layer: number;
  block: BlockWeights;
  /** Of what it runs. */
  norms: NormWeights;
  /** Its share of a layer's parameters. */
  cost: number;
}

/** A model's weights in memory, in float32. */
async function readModel(checkpoint: Checkpoint, gated: 'layers' | 'halves') {
  const a = checkpoint.architecture;
  const parts: GatedPart[] = [];
  for (const layer of a.layers.keys()) {
    const { block, norms } = await readLayer(checkpoint, layer);
    if (gated === 'layers') {
      parts.push({ layer, block, norms, cost: 1 });
      continue;
    }
    for (const half of halves) {
      const cost = blockParameters(a, half) / blockParameters(a);
      parts.push({ layer, block, norms: normsOfHalf(norms, half), cost });
    }
  }
  return { parts, head: await readHead(checkpoint) };
}

/** The gated model, forward and backward. */
class GateRun {
  readonly #model: Awaited<ReturnType<typeof readModel>>;
  readonly #checkpoint: Checkpoint;
  readonly #trainer: LayerTrainer;
  readonly #loss: TiledLoss;

  constructor(
    model: Awaited<ReturnType<typeof readModel>>,
    checkpoint: Checkpoint,
    trainer: LayerTrainer,
    loss: TiledLoss,
  ) {
    this.#model = model;
    this.#checkpoint = checkpoint;
    this.#trainer = trainer;
    this.#loss = loss;
  }

  get parts(): readonly GatedPart[] {
    return this.#model.parts;
  }

  /** The loss and its derivative by every gate. */
  async slopes(
    windows: Int32Array[],
    targets: Int32Array[],
    gates: number[],
    signal: AbortSignal | undefined,
  ): Promise<{ loss: number; slopes: number[] }> {
    const { parts, head } = this.#model;
    let hidden = joined(await embed(this.#checkpoint, windows));
    const inputs: Float32Array[] = [];
    for (const [i, g] of gates.entries()) {
      await betweenSteps(signal);
      inputs.push(hidden);
      const { layer, block, norms } = parts[i]!;
      hidden = this.#trainer.forward(layer, block, norms, hidden, g);
    }
    const loss = this.#loss.run({
      hidden,
      head,
      targets: Int32Array.from(targets.flatMap((target) => [...target])),
      weights: { crossEntropy: 1, divergence: 0 },
    });
    let gradient = loss.hidden;
    const slopes = new Array<number>(gates.length);
    for (let i = gates.length - 1; i >= 0; i--) {
      await betweenSteps(signal);
      const { layer, block, norms } = parts[i]!;
      const back = this.#trainer.backward(layer, block, norms, inputs[i]!, gradient, undefined, gates[i]);
      gradient = back.hidden;
      slopes[i] = back.gate;
    }
    return { loss: loss.crossEntropy, slopes };
  }
}
