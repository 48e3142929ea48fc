import type { Architecture } from './architecture.ts';
import type { LayerRole, TensorRole } from './checkpoint.ts';

/** The shape a tensor must have: [outputs, inputs] or [n]. Undefined where the architecture has no such tensor. */
export function shapeOf(a: Architecture, role: TensorRole): number[] | undefined {
  const [, layer, layerRole] = /^layers\.(\d+)\.(.+)$/.exec(role) ?? [];
  if (layer !== undefined)
    return Number(layer) < a.layers.length ? layerShape(a, layerRole as LayerRole) : undefined;
  if (role === 'norm') return [a.width];
  if (role === 'head' && a.tiedHead) return undefined;
  return [a.vocabularySize, a.width];
}

function layerShape(a: Architecture, role: LayerRole): number[] | undefined {
  const queries = a.heads * a.headSize;
  const keys = a.kvHeads * a.headSize;
  switch (role) {
    case 'attention.q':
      return [queries, a.width];
    case 'attention.k':
    case 'attention.v':
      return [keys, a.width];
    case 'attention.output':
      return [a.width, queries];
    case 'attention.q.bias':
      return a.qkvBias ? [queries] : undefined;
    case 'attention.k.bias':
    case 'attention.v.bias':
      return a.qkvBias ? [keys] : undefined;
    case 'attention.q.norm':
    case 'attention.k.norm':
      return a.qkNorm ? [a.headSize] : undefined;
    case 'mlp.gate':
    case 'mlp.up':
      return [a.intermediateSize, a.width];
    case 'mlp.down':
      return [a.width, a.intermediateSize];
    case 'attention.postNorm':
    case 'mlp.postNorm':
      return a.postNorms ? [a.width] : undefined;
    case 'attention.norm':
    case 'mlp.norm':
      return [a.width];
  }
}
