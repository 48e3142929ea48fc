import { type CachePart, cacheParts } from '../../artifact/decoder/decoder-options.ts';
import type { LayerScales } from '../quantize/cache-scales.ts';
import { BlobWriter, type WrittenBlob } from './blob-writer.ts';

/** The name of a cache's scales, in their blob and in the graph. */
export function cacheScalesName(layer: number, part: CachePart): string {
  return `layers.${layer}.${part}.scales`;
}

/** Writes the scales of an int8 cache, [kvHeads * headSize] float32 a layer and part. */
export async function writeCacheScales(folder: string, layers: readonly LayerScales[]): Promise<WrittenBlob> {
  const blob = await BlobWriter.create(folder, 'cache-scales');
  try {
    for (const [layer, scales] of layers.entries()) {
      for (const part of cacheParts)
        await blob.add(cacheScalesName(layer, part), 'float32', [scales[part].length], scales[part]);
    }
    return await blob.finish();
  } catch (error) {
    await blob.abort();
    throw error;
  }
}
