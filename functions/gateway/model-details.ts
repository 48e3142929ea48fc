import { bytesOf, distinctBlocks, type Manifest, type Precision } from '../../artifact/manifest.ts';
import type { LoadedModel } from '../model/loaded-model.ts';
import type { ModelService } from './model-service.ts';

/** What OpenAI's description of a model has no place for. Where nothing is known of it, undefined. */
export async function modelDetails(service: ModelService) {
  const manifest = await service.manifest();
  const { loaded, state } = service;
  if (!manifest && !loaded) return undefined;
  return {
    state: state.state,
    chat: loaded ? loaded.chatTemplate !== undefined : manifest?.tokens.chatTemplate !== undefined,
    context_length: contextLength(manifest, loaded),
    ...(manifest && composition(manifest)),
  };
}

/** What a model consists of: which layers run which blocks, and what they weigh. */
function composition(manifest: Manifest) {
  const { layers, parameters, quantization } = manifest;
  return {
    architecture: manifest.architecture,
    layers,
    distinct_blocks: distinctBlocks(manifest),
    parameters,
    bytes: bytesOf(manifest),
    quantization: Object.fromEntries(
      Object.entries(quantization).map(([kind, precision]) => [kind, precisionFields(precision)]),
    ),
  };
}

function precisionFields({ bits, blockSize }: Precision) {
  return { bits, ...(blockSize !== undefined && { block_size: blockSize }) };
}

/** Tokens of prompt and completion: what the server allows, where it has the model already. */
function contextLength(manifest: Manifest | undefined, loaded: LoadedModel | undefined) {
  return loaded?.engine.limits.contextLength ?? manifest?.dimensions.contextLength;
}
