import { cachedLayers, runsAttention } from '../../artifact/manifest.ts';
import type { Architecture } from '../checkpoint/architecture.ts';
import {
  emitFinalNorm,
  emitKeysAndValues,
  emitLayer,
  type LayerAttentionInputs,
  type LayerCache,
  type Residual,
} from '../graph/layer.ts';
import { GraphBuilder } from '../onnx/graph.ts';
import type { WrittenBlob } from './blob-writer.ts';
import { type GraphParts, GraphWeights } from './graph-weights.ts';

/**
 * The whole model as one flat graph. Layers that share a block name the same initializers, so the runtime
 * maps, packs and caches each block once.
 *
 * Inputs: `input_ids` [batch, tokens] int32; `seqlens_k` [batch] int32, index of each sequence's last
 * token, cached ones counted; `total_sequence_length` [] int32, the longest sequence's length;
 * `logits_rows` [rows] int64, which of the batch * tokens positions need logits;
 * `past_key_values.I.key|value` [batch, kvHeads, capacity, headSize], I counting the layers that run attention;
 * float32 or, with scales, int8.
 * Outputs: `logits` [rows, vocabulary]; `present.I.key|value`, to be bound to the same memory as the past.
 */
export function decoderGraph(parts: GraphParts): Uint8Array {
  const { architecture: a } = parts;
  const g = new GraphBuilder();
  const text = textInputs(g);
  const rows = g.input('logits_rows', 'int64', ['rows']);
  const weights = new GraphWeights(g, parts);

  /** Only the rows that need logits go on from the last attention. */
  const pick = (value: string, size: number) => {
    const flat = g.constant(`flat.${size}`, 'int64', [2], BigInt64Array.of(-1n, BigInt(size)));
    return g.node('Gather', [g.node('Reshape', [value, flat]), rows]);
  };
  let residual: Residual = { sum: weights.embed(text.inputIds) };
  for (const layer of layersOf(g, parts, weights, text)) {
    const inputs = layer.isLastCached ? { ...layer.inputs, pick } : layer.inputs;
    residual = emitLayer(g, a, layer.attention, residual, layer.weights, inputs, layer.half);
    residual = weights.patch(layer.index, residual);
  }
  weights.head(emitFinalNorm(g, a, residual, weights.norm('norm')));
  g.output('logits', 'float32', ['rows', a.vocabularySize]);
  return g.build('folded');
}

/**
 * The model as far as it fills the cache, by the weights for prompts: it ends with the last layer's keys and values.
 *
 * Inputs and outputs: those of `decoderGraph`, without `logits_rows` and `logits`.
 */
export function readerGraph(parts: GraphParts & { promptBlocks: readonly WrittenBlob[] }): Uint8Array {
  const { architecture: a } = parts;
  const g = new GraphBuilder();
  const text = textInputs(g);
  const weights = new GraphWeights(g, parts);
  let residual: Residual = { sum: weights.embed(text.inputIds) };
  for (const layer of layersOf(g, parts, weights, text)) {
    const { index, attention, inputs, half } = layer;
    if (layer.isLastCached) {
      emitKeysAndValues(g, a, attention, residual, layer.weights, inputs);
      break;
    }
    residual = emitLayer(g, a, attention, residual, layer.weights, inputs, half);
    residual = weights.patch(index, residual);
  }
  return g.build('reader');
}

interface TextInputs extends Pick<LayerAttentionInputs, 'lastToken' | 'totalLength'> {
  inputIds: string;
}

function textInputs(g: GraphBuilder): TextInputs {
  return {
    inputIds: g.input('input_ids', 'int32', ['batch', 'tokens']),
    lastToken: g.input('seqlens_k', 'int32', ['batch']),
    totalLength: g.input('total_sequence_length', 'int32', []),
  };
}

/** What each layer is emitted from, the inputs and outputs of its cache made when its turn comes. */
function* layersOf(
  g: GraphBuilder,
  { architecture: a, layers }: GraphParts,
  weights: GraphWeights,
  { lastToken, totalLength }: TextInputs,
) {
  const caches = cachedLayers(layers);
  let cached = 0;
  for (const [index, { source, block, half }] of layers.entries()) {
    const attention = a.layers[source]!;
    const inputs: LayerAttentionInputs = { lastToken, totalLength };
    const hasCache = runsAttention({ half });
    if (hasCache) {
      inputs.cache = cacheOf(g, a, cached, weights.cacheScales(cached));
      cached++;
    }
    const isLastCached = hasCache && cached === caches;
    const own = weights.layer(index, block, attention.rotary);
    yield { index, half, attention, inputs, weights: own, isLastCached };
  }
}

/** @param layer among those that run attention */
function cacheOf(g: GraphBuilder, a: Architecture, layer: number, scales: LayerCache['scales']): LayerCache {
  const shape = ['batch', a.kvHeads, 'capacity', a.headSize];
  const type = scales ? 'int8' : 'float32';
  const past = (part: string) => g.input(`past_key_values.${layer}.${part}`, type, shape);
  const present = (part: string) => {
    g.output(`present.${layer}.${part}`, type, shape);
    return `present.${layer}.${part}`;
  };
  return {
    pastKey: past('key'),
    pastValue: past('value'),
    presentKey: present('key'),
    presentValue: present('value'),
    ...(scales && { scales }),
  };
}
