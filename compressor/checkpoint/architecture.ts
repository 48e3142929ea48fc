/**
 * Everything the computation of a decoder-only transformer depends on besides its weights. Family
 * differences end here: the code that runs or exports a layer asks these fields, never the family's name.
 */
export interface Architecture {
  /** `llama`, `mistral`, `qwen2`, `qwen3`, `gemma3`. */
  family: string;
  vocabularySize: number;
  /** Length of a hidden state. */
  width: number;
  heads: number;
  kvHeads: number;
  headSize: number;
  /** The checkpoint's own, where its heads are padded to `headSize` with zeros, which are no parameters. */
  storedHeadSize?: number;
  intermediateSize: number;
  contextLength: number;
  normEpsilon: number;
  activation: 'silu' | 'gelu_tanh';
  /** Factor on the embedding's output (Gemma: sqrt(width)), else 1. */
  embeddingScale: number;
  /** Factor on q·k before softmax, usually 1/sqrt(headSize). */
  attentionScale: number;
  /** The head is the embedding: `head` is then no tensor of the checkpoint. */
  tiedHead: boolean;
  qkvBias: boolean;
  /** RMS norm over each head of q and k, before the rotation. */
  qkNorm: boolean;
  /** A norm after attention and MLP too, before the residual is added (Gemma). */
  postNorms: boolean;
  /** One entry per layer. */
  layers: LayerAttention[];
  /** The rotary tables that layers refer to. */
  rotaries: Rotary[];
}

/**
 * The architecture as one block has it.
 * @param widths of the blocks' MLPs, where some are narrower than the checkpoint's
 */
export function architectureOfBlock(
  a: Architecture,
  widths: readonly number[] | undefined,
  block: number,
): Architecture {
  return widths === undefined ? a : { ...a, intermediateSize: widths[block]! };
}

/** The architecture as parameters are counted: without what heads are padded with. */
export function storedArchitecture(a: Architecture): Architecture {
  return { ...a, headSize: a.storedHeadSize ?? a.headSize };
}

/** The architecture as a block with such matrices has it. */
export function architectureOfMatrices(a: Architecture, { up }: { up?: Float32Array }): Architecture {
  return up ? { ...a, intermediateSize: up.length / a.width } : a;
}

export interface LayerAttention {
  /** Tokens a position sees, itself included; undefined for all. */
  window: number | undefined;
  /** Index into `rotaries`. */
  rotary: number;
}

/** Angle of pair i (dimensions i and i + headSize/2) at position p: p * inverseFrequencies[i]. */
export interface Rotary {
  /** headSize / 2 values, scaling already applied. */
  inverseFrequencies: number[];
  /** Factor on cos and sin (1 but for YaRN-like scalings). */
  magnitude: number;
}
