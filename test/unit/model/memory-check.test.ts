import { describe, expect, it } from 'vitest';
import { withPromptWeights } from '../../../artifact/decoder/prompt-weights.ts';
import type { Manifest } from '../../../artifact/manifest.ts';
import { leastMemory, servedMemoryOf, servedShapeOf } from '../../../artifact/served-memory.ts';
import { checkMemory } from '../../../functions/model/memory-check.ts';
import { makeStoredModel } from '../../fixtures/stored-model.ts';
import { temporaryFolder } from '../../fixtures/temporary-folder.ts';

const megabyte = 1024 * 1024;

describe('memory for a model', () => {
  it('is refused in words where it cannot do', async () => {
    const { manifest } = await makeStoredModel(await temporaryFolder());
    const needed = leastMemory(servedShapeOf(manifest), 128);
    expect(() => checkMemory({ manifest }, 'float32', needed)).not.toThrow();
    expect(() => checkMemory({ manifest }, 'float32', needed - 1)).toThrow(
      /^tiny needs at least \d+ MiB of memory; this process may have \d+ MiB\. .*--fit/,
    );
  });

  it('is counted for weights that prompts are read with, and saved where they are not wanted', async () => {
    const { manifest } = await makeStoredModel(await temporaryFolder());
    const blob = { sha256: '', bytes: 30 * megabyte };
    const apart = { ...manifest, promptWeights: { graph: { ...blob, bytes: 1 }, blocks: [blob, blob] } };
    const least = leastMemory(servedShapeOf(manifest), 128);
    expect(leastMemory(servedShapeOf(apart), 128) - least).toBe(60 * megabyte);
    expect(leastMemory(servedShapeOf(withPromptWeights(apart, 'same')), 128)).toBe(least);
    const checked = () => checkMemory({ manifest: apart }, 'float32', least + 59 * megabyte);
    expect(checked).toThrow(/Give it more, read prompts with .* \(--prompt-weights same\), or fold/);
  });

  it('is there on this machine', async () => {
    const { manifest } = await makeStoredModel(await temporaryFolder());
    expect(() => checkMemory({ manifest })).not.toThrow();
  });

  it('counts a head beside the embedding, but not the embedding that is read from its file', async () => {
    const { manifest } = await makeStoredModel(await temporaryFolder());
    const matrix = 64 * 32 * 4; // vocabulary x width, in float32
    const blob = { sha256: '', bytes: matrix, kind: 'embedding' as const };
    const weigh = (...weights: Manifest['weights']) => servedShapeOf({ ...manifest, weights }).weightBytes;
    expect(weigh(blob)).toBe(matrix);
    expect(weigh(blob, blob)).toBe(matrix);
  });

  it('counts all that the runtime holds, and not the tables that are read from their file', async () => {
    const { manifest } = await makeStoredModel(await temporaryFolder());
    const weightBytes = (...weights: Manifest['weights']) =>
      servedShapeOf({ ...manifest, weights }).weightBytes;
    const blob = (kind: Manifest['weights'][number]['kind'], bytes: number) => ({ sha256: '', bytes, kind });
    const held = [blob('block', 1), blob('norms', 20), blob('adapters', 300), blob('patches', 4000)];
    expect(weightBytes(...held, blob('rotary', 50_000))).toBe(4321);
    // A model whose adapters alone are too much for a process is refused.
    const weights = [...manifest.weights, blob('adapters', 100 * megabyte)];
    const least = leastMemory(servedShapeOf(manifest), 128);
    expect(() =>
      checkMemory({ manifest: { ...manifest, weights } }, undefined, least + 99 * megabyte),
    ).toThrow(/needs at least/);
    expect(() =>
      checkMemory({ manifest: { ...manifest, weights } }, undefined, least + 100 * megabyte),
    ).not.toThrow();
  });

  it('grows with weights and tokens, by what they take', async () => {
    const { manifest } = await makeStoredModel(await temporaryFolder());
    const shape = servedShapeOf(manifest);
    // Keys and values of 6 layers, 2 heads of 8 numbers, in float32; scratch of 128 rows for 4 heads' scores.
    expect(leastMemory(shape, 101) - leastMemory(shape, 100)).toBe(6 * 2 * 2 * 8 * 4 + 128 * 4 * 4);
    const int8 = servedShapeOf(manifest, 'int8');
    expect(leastMemory(int8, 101) - leastMemory(int8, 100)).toBe(6 * 2 * 2 * 8 + 128 * 4 * 4);
    const heavier = { ...shape, weightBytes: shape.weightBytes + megabyte };
    expect(leastMemory(heavier, 100) - leastMemory(shape, 100)).toBe(megabyte);
    expect(servedMemoryOf(manifest, 100)).toBeGreaterThan(leastMemory(shape, 100));
  });
});
