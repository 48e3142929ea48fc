import { withResource } from '../../artifact/dispose.ts';
import { halves } from '../../artifact/manifest.ts';
import type { Checkpoint } from '../checkpoint/checkpoint.ts';
import type { EvaluateOptions } from '../evaluate/student.ts';
import { betweenSteps } from '../forward/between-steps.ts';
import { type BlockMatrix, blockMatrices, matrixShape } from '../graph/layer.ts';
import type { Student } from '../student/student.ts';
import { readMatrix } from '../weights/block.ts';
import { type AdaptedPlan, adaptedLayers } from './adapted-layers.ts';
import type { AdapterForm, AdapterWeights } from './adapter.ts';
import { AdapterOrchestra } from './adapter-orchestra.ts';
import {
  AdapterPools,
  drawTables,
  mapPools,
  type PooledForm,
  type PoolValues,
  poolNames,
} from './adapter-pools.ts';
import { fitPools } from './fit-pools.ts';
import { type LowRank, TruncatedSvd } from './truncated-svd.ts';

/**
 * Gives the layers that run another layer's block what the plan says they have of their own. Low-rank matrices
 * start as the best approximation of what the layer's own weights were beyond the block's (Relaxed Recursive
 * Transformers, arXiv 2410.20672), those that are trained together too; those from pools start as near to it as shards
 * that layers share can bring them. Gains start at 1; at 0 where a removed layer comes back, which then adds nothing
 * until it is trained.
 */
export async function adaptStudent(
  checkpoint: Checkpoint,
  student: Student,
  plan: AdaptedPlan,
  options: EvaluateOptions = {},
): Promise<Student> {
  const { adapter } = plan;
  const layers = adaptedLayers(plan);
  if (!adapter || layers.length === 0) return student;
  const adapters = new Map<number, AdapterWeights>();
  await withResource(new TruncatedSvd(), async (svd) => {
    for (const [done, index] of layers.entries()) {
      options.onProgress?.(done, layers.length);
      const start = student.layers[index]!.refill ? 0 : 1;
      adapters.set(index, {
        ...gainsOf(checkpoint, start, adapter),
        ...(adapter.rank > 0 &&
          (await residualAdapter(
            checkpoint,
            student.layers[index]!.source,
            (matrix) => student.matrix(student.layers[index]!.block, matrix),
            { rank: adapter.rank, svd, signal: options.signal },
          ))),
      });
    }
  });
  const { pool, orchestra } = adapter;
  const pools = pool && (await poolsFor(checkpoint, { ...adapter, pool }, layers, adapters, options.signal));
  const together = orchestra && orchestraOf(adapters, adapter.rank, orchestra.components);
  options.onProgress?.(layers.length, layers.length);
  return {
    ...student,
    own: async (index) => ({
      ...(await student.own(index)),
      ...adapters.get(index),
      ...(pools ?? together)?.assemble(index),
    }),
    pools,
    orchestra: together,
  };
}

/** Takes the low-rank matrices out of the adapters, and makes pools that come near to them. */
async function poolsFor(
  { architecture }: Checkpoint,
  form: PooledForm,
  layers: readonly number[],
  adapters: ReadonlyMap<number, AdapterWeights>,
  signal: AbortSignal | undefined,
): Promise<AdapterPools> {
  const tables = drawTables(architecture, form, layers.length);
  const values: Partial<PoolValues> = {};
  for (const matrix of blockMatrices) {
    const [downName, upName] = [`${matrix}.down`, `${matrix}.up`] as const;
    const wanted = layers.map((index): LowRank => {
      const { [downName]: down, [upName]: up } = adapters.get(index)!;
      return { down: down!, up: up! };
    });
    const { down, up } = await fitPools(wanted, tables[downName], tables[upName], signal);
    Object.assign(values, { [downName]: down, [upName]: up });
    for (const index of layers) {
      delete adapters.get(index)![downName];
      delete adapters.get(index)![upName];
    }
  }
  return new AdapterPools(layers, tables, values as PoolValues);
}

/** Takes the low-rank matrices out of the adapters, to be trained together. */
function orchestraOf(
  adapters: ReadonlyMap<number, AdapterWeights>,
  rank: number,
  components: number,
): AdapterOrchestra {
  const starts = new Map<number, PoolValues>();
  for (const [index, adapter] of adapters) {
    starts.set(
      index,
      mapPools((name) => adapter[name]!),
    );
    for (const name of poolNames) delete adapter[name];
  }
  return AdapterOrchestra.start(starts, rank, components);
}

function gainsOf({ architecture }: Checkpoint, start: number, { gains }: AdapterForm): AdapterWeights {
  if (!gains) return {};
  const vector = () => new Float32Array(architecture.width).fill(start);
  return Object.fromEntries(halves.map((half) => [`${half}.gain`, vector()]));
}

/**
 * The low-rank matrices that bring a shared block nearest to a layer's own weights.
 * @param shared gives the block's matrices
 */
export async function residualAdapter(
  checkpoint: Checkpoint,
  layer: number,
  shared: (matrix: BlockMatrix) => Promise<Float32Array>,
  { rank, svd, signal }: { rank: number; svd: TruncatedSvd; signal: AbortSignal | undefined },
): Promise<AdapterWeights> {
  const adapter: AdapterWeights = {};
  for (const matrix of blockMatrices) {
    await betweenSteps(signal);
    const residual = await readMatrix(checkpoint, [{ layer, factor: 1 }], matrix);
    const other = await shared(matrix);
    for (let i = 0; i < residual.length; i++) residual[i]! -= other[i]!;
    const { down, up } = svd.run(residual, matrixShape(checkpoint.architecture, matrix), rank);
    adapter[`${matrix}.down`] = down;
    adapter[`${matrix}.up`] = up;
  }
  return adapter;
}
