import { describe, expect, it } from 'vitest';
import { settle } from '../../../compressor/train/cure-options.ts';
import { checkMemory, planMemory } from '../../../compressor/train/memory.ts';
import { picoArchitecture } from '../../fixtures/random-checkpoint.ts';

/** Of 135M parameters: 106M in 30 blocks, 28M in the embedding. */
const architecture = {
  ...picoArchitecture,
  vocabularySize: 49_152,
  width: 576,
  heads: 9,
  kvHeads: 3,
  headSize: 64,
  intermediateSize: 1536,
  layers: Array.from({ length: 30 }, () => ({ window: undefined, rotary: 0 })),
};
const perBlock = 576 * 576 * 2 + 576 * 192 * 2 + 576 * 1536 * 3;

const student = (layers: number, blocks = layers) => ({
  architecture,
  layers: Array.from({ length: layers }, (_, i) => ({ source: i, block: Math.min(i, blocks - 1) })),
});
const settings = (changed = {}) => settle({ data: [], folder: '', tokens: 1e5, ...changed }, 2048);
const bytesOf = (plan: ReturnType<typeof planMemory>, what: string) =>
  plan.parts.find((part) => part.what === what)?.bytes;

const none = { patches: 0, adapters: 0 };

describe('the memory of a cure', () => {
  it('is four times the trained weights and more', () => {
    const plan = planMemory(student(24, 20), { patches: 2, adapters: 0 }, settings(), 64e9);
    const trained = 4 * (20 * perBlock + 24 * 2 * 576 + 576 + 2 * 577 * 576);
    expect(bytesOf(plan, 'weights')).toBe(trained);
    expect(bytesOf(plan, 'gradients')).toBe(trained);
    expect(bytesOf(plan, 'moments')).toBe(2 * trained);
    expect(bytesOf(plan, 'head')).toBe(4 * 49_152 * 576);
    expect(plan.total).toBe(plan.parts.reduce((sum, { bytes }) => sum + bytes, 0));
  });

  it('is less for blocks of narrower MLPs, each by its width', () => {
    const widths = Array.from({ length: 24 }, (_, block) => (block < 4 ? 512 : 1536));
    const [whole, narrow] = [student(24), { ...student(24), widths }].map((one) =>
      planMemory(one, none, settings(), 64e9),
    );
    const fewer = 4 * 4 * 3 * 576 * 1024;
    for (const what of ['weights', 'gradients'])
      expect(bytesOf(whole!, what)! - bytesOf(narrow!, what)!).toBe(fewer);
    expect(bytesOf(narrow!, 'activations')).toBeLessThan(bytesOf(whole!, 'activations')!);
    expect(() =>
      planMemory({ ...student(24), widths }, none, settings({ sparseGradients: 0.01 }), 64e9),
    ).toThrow('several widths (512, 1536)');
  });

  it('holds gradients and moments of norms alone where these alone are trained', () => {
    const plan = planMemory(student(24), none, settings({ part: 'norms' }), 64e9);
    expect(bytesOf(plan, 'weights')).toBeGreaterThan(300e6);
    expect(bytesOf(plan, 'gradients')).toBe(4 * (24 * 2 * 576 + 576));
  });

  it('holds gradients and moments of adapters beside them where those are trained', () => {
    const adapted = { patches: 0, adapters: 1e6 };
    const norms = 24 * 2 * 576 + 576;
    const gradients = (part: 'norms' | 'adapters' | 'all') =>
      bytesOf(planMemory(student(24), adapted, settings({ part }), 64e9), 'gradients');
    expect(gradients('norms')).toBe(4 * norms);
    expect(gradients('adapters')).toBe(4 * (norms + 1e6));
    expect(gradients('all')).toBe(4 * (norms + 1e6 + 24 * perBlock));
  });

  it('holds moments of what SparseGrad keeps alone, and tells what that saves', () => {
    const dense = planMemory(student(24, 20), none, settings(), 64e9);
    const sparse = planMemory(student(24, 20), none, settings({ sparseGradients: 0.01 }), 64e9);
    const mlp = 20 * 3 * 576 * 1536;
    const kept = 20 * 3 * Math.round(0.01 * 576 * 1536);
    expect(bytesOf(dense, 'moments')! - bytesOf(sparse, 'moments')!).toBe(8 * (mlp - kept));
    expect(bytesOf(sparse, 'gradients')).toBe(bytesOf(dense, 'gradients'));
    // Corners of 116 x 308; sums of 576 and 1,536 squared.
    const bases = 3 * (116 * 576 + 308 * 1536);
    const search = 3 * (576 ** 2 + 1536 ** 2 + 20 * 116 * 308);
    expect(bytesOf(sparse, 'kept coordinates and their bases')).toBe(4 * (4 * kept + bases + search));
    expect(dense.saved).toBe(0);
    expect(sparse.saved).toBe(dense.total - sparse.total);
    expect(sparse.saved).toBeGreaterThan(350e6);
  });

  it('holds what pools make for one layer at a time, and its gradients', () => {
    const pools = planMemory(student(24), { ...none, adapters: 1e5, pooled: 1e4 }, settings(), 64e9);
    const plain = planMemory(student(24), { ...none, adapters: 1e5 }, settings(), 64e9);
    expect(pools.total - plain.total).toBe(2 * 4 * 1e4);
    expect(bytesOf(pools, 'gradients')).toBe(bytesOf(plain, 'gradients'));
  });

  it('holds the teacher where it fits, else one layer of it', () => {
    const plenty = planMemory(student(24), none, settings(), 64e9);
    expect(plenty.keepTeacher).toBe(true);
    expect(bytesOf(plenty, 'teacher')).toBe(4 * 30 * (perBlock + 2 * 576));
    // Just too little for the whole teacher.
    const without = plenty.total - (bytesOf(plenty, 'activations') ?? 0);
    const less = planMemory(student(24), none, settings(), (without - 1e6) / 0.9);
    expect(less.keepTeacher).toBe(false);
    expect(less.total).toBeLessThan(plenty.total - 28 * 4 * perBlock);
    expect(() => checkMemory(less, settings())).not.toThrow();
  });

  it('keeps activations where they fit beside the rest', () => {
    const plenty = planMemory(student(24), none, settings(), 64e9);
    expect(plenty.keepActivations).toBe(true);
    // 5,184 numbers a token and layer.
    expect(bytesOf(plenty, 'activations')).toBe(4 * 24 * 1024 * 5184);
    const less = planMemory(student(24), none, settings(), (plenty.total - 1e6) / 0.9);
    expect(less.keepActivations).toBe(false);
    expect(less.total).toBe(plenty.total - (bytesOf(plenty, 'activations') ?? 0));
  });

  it('is refused where the machine has less, with advice that fits the settings', () => {
    const check = (changed = {}) =>
      checkMemory(planMemory(student(24), none, settings(changed), 500e6), settings(changed));
    expect(() => check()).toThrow(
      /needs \d+ MB .*this machine has 500 MB.*norms alone, take fewer sequences/,
    );
    expect(() => check({ part: 'norms', batch: 1 })).toThrow(/To need less: shorten the sequences/);
  });
});
