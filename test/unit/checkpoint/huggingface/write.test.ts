import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Checkpoint, TensorRole } from '../../../../compressor/checkpoint/checkpoint.ts';
import { layerRoles } from '../../../../compressor/checkpoint/checkpoint.ts';
import { encodeFloats } from '../../../../compressor/checkpoint/float.ts';
import { writeHuggingFace } from '../../../../compressor/checkpoint/huggingface/write.ts';
import { openCheckpoint } from '../../../../compressor/checkpoint/open.ts';
import { shapeOf } from '../../../../compressor/checkpoint/shapes.ts';
import { plannedStudent, unfolded } from '../../../../compressor/student/planned-student.ts';
import { picoFamilies, picoPath } from '../../../fixtures/pico.ts';
import { temporaryFolder } from '../../../fixtures/temporary-folder.ts';

/** Every tensor by its role. */
async function tensorsOf(checkpoint: Checkpoint): Promise<Map<string, Float32Array>> {
  const { architecture } = checkpoint;
  const layers = architecture.layers.flatMap((_, layer) =>
    layerRoles.map((role): TensorRole => `layers.${layer}.${role}`),
  );
  const roles: TensorRole[] = ['embedding', 'head', 'norm', ...layers];
  const tensors = new Map<string, Float32Array>();
  for (const role of roles)
    if (shapeOf(architecture, role)) tensors.set(role, await checkpoint.tensor(role).read());
  return tensors;
}

describe('a Hugging Face folder that was written', () => {
  it.each(picoFamilies)('is read again as the model it was: %s', async (family) => {
    const checkpoint = await openCheckpoint(picoPath(family));
    const folder = await temporaryFolder();
    await writeHuggingFace(unfolded(checkpoint), picoPath(family), folder, 'F32');
    const again = await openCheckpoint(folder);
    expect(again.architecture).toEqual(checkpoint.architecture);
    expect(again.tokens).toEqual(checkpoint.tokens);
    expect(await tensorsOf(again)).toEqual(await tensorsOf(checkpoint));
    expect(await again.tokenizerFiles()).toEqual(await checkpoint.tokenizerFiles());
    await Promise.all([again.close(), checkpoint.close()]);
  });

  it("holds PyTorch's bfloat16", async () => {
    const checkpoint = await openCheckpoint(picoPath('llama'));
    const byTorch = await openCheckpoint(picoPath('llama-bf16'));
    const folder = await temporaryFolder();
    await writeHuggingFace(unfolded(checkpoint), picoPath('llama'), folder, 'BF16');
    const again = await openCheckpoint(folder);
    expect(await tensorsOf(again)).toEqual(await tensorsOf(byTorch));
    const { torch_dtype: dtype } = JSON.parse(await readFile(join(folder, 'config.json'), 'utf8'));
    expect(dtype).toBe('bfloat16');
    await Promise.all([again.close(), checkpoint.close(), byTorch.close()]);
  });

  it('has a shared block in every layer that runs it', async () => {
    const checkpoint = await openCheckpoint(picoPath('llama'));
    const layers = [0, 1, 2].map((source) => ({ source, block: Math.floor(source / 2) }));
    const student = plannedStudent(checkpoint, { layers, weights: 'first' });
    const folder = await temporaryFolder();
    await writeHuggingFace(student, picoPath('llama'), folder, 'F32');
    const again = await openCheckpoint(folder);
    const [written, before] = [await tensorsOf(again), await tensorsOf(checkpoint)];
    expect(written.get('layers.1.mlp.up')).toEqual(before.get('layers.0.mlp.up'));
    expect(written.get('layers.1.mlp.norm')).toEqual(before.get('layers.1.mlp.norm'));
    await Promise.all([again.close(), checkpoint.close()]);
  });

  it('is refused for what it has no words for', async () => {
    const checkpoint = await openCheckpoint(picoPath('llama'));
    const { width } = checkpoint.architecture;
    const patch = { weight: new Float32Array(width * width), bias: new Float32Array(width) };
    const patched = { ...unfolded(checkpoint), patch: async () => patch };
    const folder = await temporaryFolder();
    await expect(writeHuggingFace(patched, picoPath('llama'), folder, 'F32')).rejects.toThrow(/patches/);
    const layers = unfolded(checkpoint).layers.map((layer) => ({ ...layer, half: 'mlp' as const }));
    const halved = plannedStudent(checkpoint, { layers, weights: 'first' });
    await expect(writeHuggingFace(halved, picoPath('llama'), folder, 'F32')).rejects.toThrow(/halves/);
    await checkpoint.close();
  });
});

describe('bfloat16', () => {
  it.each([
    [1, 0x3f80],
    [1 + 2 ** -8, 0x3f80], // half way: to even
    [1 + 3 * 2 ** -8, 0x3f82],
    [1 + 2 ** -8 + 2 ** -20, 0x3f81],
    [-0, 0x8000],
    [3.4e38, 0x7f80], // beyond its largest
    [Number.POSITIVE_INFINITY, 0x7f80],
  ])('of %d is %i', (value, bits) => {
    const bytes = encodeFloats('BF16', Float32Array.of(value));
    expect(bytes[0]! | (bytes[1]! << 8)).toBe(bits);
  });

  it('of what is no number stays none', () => {
    const odd = new Float32Array(Uint32Array.of(0x7f800001).buffer);
    const bytes = encodeFloats('BF16', odd);
    expect((bytes[0]! | (bytes[1]! << 8)) & 0x7fff).toBeGreaterThan(0x7f80);
  });
});
