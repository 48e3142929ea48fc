import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type MatrixKind, matrixKinds, type Precision } from '../../../artifact/manifest.ts';
import { adaptStudent } from '../../../compressor/adapter/adapt-student.ts';
import { usualPool } from '../../../compressor/adapter/adapter.ts';
import type { Architecture } from '../../../compressor/checkpoint/architecture.ts';
import { type LayerRole, layerRoles, type TensorRole } from '../../../compressor/checkpoint/checkpoint.ts';
import type { WrittenBlob } from '../../../compressor/export/blob-writer.ts';
import { WorkFolder } from '../../../compressor/export/work-folder.ts';
import { makePlan, type PlanOptions } from '../../../compressor/plan/make-plan.ts';
import { foldedSizes } from '../../../compressor/plan/sizes.ts';
import { parsePrecision, resolvePrecision } from '../../../compressor/quantize/precision.ts';
import { plannedStudent } from '../../../compressor/student/planned-student.ts';
import { exportStudent } from '../../fixtures/export-student.ts';
import { picoArchitecture, randomCheckpoint } from '../../fixtures/random-checkpoint.ts';
import { temporaryFolder } from '../../fixtures/temporary-folder.ts';

const architectures: Record<string, Architecture> = {
  plain: picoArchitecture,
  'with biases and a head of its own': { ...picoArchitecture, qkvBias: true, tiedHead: false },
  'with norms everywhere': { ...picoArchitecture, qkNorm: true, postNorms: true, width: 48 },
};
const folds: Partial<PlanOptions>[] = [
  { quantize: 'none' },
  { quantize: 'int4' },
  { quantize: 'int4:128,down=int8:64,embedding=none', share: 2 },
  { quantize: 'none', share: 2, adapter: { gains: true, rank: 3 } },
  { quantize: 'none', share: 2, adapter: { gains: true, rank: 3, pool: usualPool } },
  { quantize: 'int8:128', share: 3, remove: 0.25, weights: 'mean' },
];

describe.each(Object.entries(architectures))('the sizes of a model %s', (_name, architecture) => {
  it.each(folds)('folded by %j are those of what is stored', async (changed) => {
    const checkpoint = randomCheckpoint(architecture);
    const plan = makePlan(
      { name: 'random', layers: architecture.layers.length },
      { method: 'given', scores: [4, 1, 2, 3] },
      { remove: 0, share: 1, weights: 'first', quantize: 'none', keep: [], ...changed },
    );
    const precision = resolvePrecision(checkpoint, plan, parsePrecision(plan.quantize));
    const work = await WorkFolder.open(await temporaryFolder(), 'sizes');
    const student = await adaptStudent(checkpoint, plannedStudent(checkpoint, plan), plan);
    const { manifest } = await exportStudent({ checkpoint, student, plan, precision, work });

    const sizes = foldedSizes(architecture, plan, precision);
    const steps: Record<string, WrittenBlob> = JSON.parse(
      await readFile(join(work.path, 'state.json'), 'utf8'),
    );
    const stored = Object.entries(steps).filter(([step]) => step !== 'rotary');
    const tensors = stored.flatMap(([, blob]) => blob.tensors);
    expect(tensors.reduce((sum, tensor) => sum + tensor.length, 0)).toBe(sizes.bytes);

    // Beside the tensors, blobs hold nothing but what aligns them.
    const files = manifest.weights.filter(({ kind }) => kind !== 'rotary');
    const bytes = files.reduce((sum, blob) => sum + blob.bytes, 0);
    expect(bytes - sizes.bytes).toBeGreaterThanOrEqual(0);
    expect(bytes - sizes.bytes).toBeLessThan(64 * tensors.length);
    for (const { offset } of tensors) expect(offset % 64).toBe(0);

    expect(manifest.parameters).toEqual({ original: sizes.original, folded: sizes.folded });
    if (plan.quantize === 'none' && !plan.adapter?.pool) expect(sizes.bytes).toBe(4 * sizes.folded);
  });

  it('count no zeros that heads were padded with', () => {
    const plan = { layers: architecture.layers.map((_, i) => ({ source: i, block: 0 })) };
    const precision = Object.fromEntries(matrixKinds.map((kind) => [kind, { bits: 32 as const }])) as Record<
      MatrixKind,
      Precision
    >;
    const own = foldedSizes(architecture, plan, precision);
    const padded = { ...architecture, headSize: 32, storedHeadSize: architecture.headSize };
    const sizes = foldedSizes(padded, plan, precision);
    expect(sizes).toMatchObject({ original: own.original, folded: own.folded });
    expect(sizes.bytes).toBeGreaterThan(own.bytes); // they are stored, though
  });

  it('count every parameter of the checkpoint', () => {
    const { tensor } = randomCheckpoint(architecture);
    const optional: Record<string, boolean> = {
      bias: architecture.qkvBias,
      'q.norm': architecture.qkNorm,
      'k.norm': architecture.qkNorm,
      postNorm: architecture.postNorms,
    };
    const has = (role: LayerRole) =>
      Object.entries(optional).every(([ending, there]) => there || !role.endsWith(ending));
    const roles: TensorRole[] = ['embedding', 'norm', ...(architecture.tiedHead ? [] : ['head' as const])];
    for (const layer of architecture.layers.keys()) {
      roles.push(...layerRoles.filter(has).map((role) => `layers.${layer}.${role}` as const));
    }
    const count = roles.reduce((sum, role) => sum + tensor(role).shape.reduce((a, b) => a * b), 0);
    const plan = makePlan(
      { name: 'random', layers: 4 },
      { method: 'none' },
      { remove: 0, share: 1, weights: 'first', quantize: 'none', keep: [] },
    );
    const sizes = foldedSizes(
      architecture,
      plan,
      resolvePrecision(randomCheckpoint(architecture), plan, parsePrecision('none')),
    );
    expect(sizes).toMatchObject({ original: count, folded: count, originalBytes: 2 * count });
  });
});
