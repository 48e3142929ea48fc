import { UsageError } from '../../artifact/errors.ts';
import { type Half, halves } from '../../artifact/manifest.ts';
import { sizeOf } from '../autodiff/expression.ts';
import type { Architecture } from '../checkpoint/architecture.ts';
import { type BlockMatrix, blockMatrices, matrixShape } from '../graph/layer.ts';
import { componentCounts } from './hypercomplex.ts';

/** What a layer that runs another layer's block has of its own, besides its norms. */
export interface AdapterForm {
  /** Whether what attention and MLP add to the hidden state is multiplied by vectors of the layer's own. */
  gains: boolean;
  /** Rank of what is added to each of the block's matrices; 0 where nothing is. */
  rank: number;
  /** Where the low-rank matrices are made of shards from pools that all layers share. @default each layer has its own */
  pool?: PoolForm | undefined;
  /** Where all layers' low-rank matrices are trained together. @default each layer's alone */
  orchestra?: OrchestraForm | undefined;
}

/** How low-rank matrices are made of shards from common pools (MoS, arXiv 2410.00938): see `shard-table.ts`. */
export interface PoolForm {
  /** Pieces that each of the rank's vectors is cut into; where these do not divide its length, the most that divide both. */
  shards: number;
  /** How many times fewer parameters the pools have than the matrices made of them. */
  saving: number;
  /** Share of a layer's part of the pools that no other layer uses, 0 to below 1. */
  privateShare: number;
  /** Of the draw. */
  seed: number;
}

/** How low-rank matrices are trained together (arXiv 2311.17112): see `adapter-orchestra.ts`. */
export interface OrchestraForm {
  /** Of the hypercomplex head, a divisor of the rank. */
  components: (typeof componentCounts)[number];
}

/** The paper's saving at a like rank; half of the shards private, and vectors in four. */
export const usualPool: PoolForm = { shards: 4, saving: 8, privateShare: 0.5, seed: 1 };

export const noAdapter: AdapterForm = { gains: false, rank: 0 };

/** In the names of low-rank matrices: a layer runs W + up down, down [rank, inputs], up [outputs, rank]. */
export type LowRankPart = 'down' | 'up';

/** Names of an adapter's arrays: `mlp.gain`, `qkv.down`, ... */
export type AdapterTensor = `${Half}.gain` | `${BlockMatrix}.${LowRankPart}`;

/** Row-major; shapes are those of `adapterShapes`. */
export type AdapterWeights = Partial<Record<AdapterTensor, Float32Array>>;

/** The arrays of an adapter. */
export function adapterShapes(
  a: Architecture,
  { gains, rank }: AdapterForm,
): Partial<Record<AdapterTensor, number[]>> {
  const shapes: Partial<Record<AdapterTensor, number[]>> = {};
  if (gains) for (const half of halves) shapes[`${half}.gain`] = [a.width];
  if (rank === 0) return shapes;
  for (const matrix of blockMatrices) {
    const [outputs, inputs] = matrixShape(a, matrix);
    shapes[`${matrix}.down`] = [rank, inputs];
    shapes[`${matrix}.up`] = [outputs, rank];
  }
  return shapes;
}

/** The form of the adapter among a layer's own weights. */
export function adapterFormOf(a: Architecture, own: AdapterWeights): AdapterForm {
  return { gains: own['mlp.gain'] !== undefined, rank: (own['qkv.down']?.length ?? 0) / a.width };
}

export function hasAdapter(a: Architecture, own: AdapterWeights): boolean {
  const { gains, rank } = adapterFormOf(a, own);
  return gains || rank > 0;
}

/** Equal for adapters that run in the same graph. */
export function adapterKey({ gains, rank }: AdapterForm): string {
  return `${gains ? 'gains' : 'no gains'}, rank ${rank}`;
}

/** Parameters of one layer's adapter as it runs: its shards are counted as often as they are used. */
export function adapterParameters(a: Architecture, form: AdapterForm): number {
  return Object.values(adapterShapes(a, form)).reduce((sum, shape) => sum + sizeOf(shape), 0);
}

/** Higher ranks cost more than a block that is quantized. */
export const maxRank = 1024;

/**
 * Reads `none`, `gain`, `lora:RANK`, `mos:RANK` or `orchestrated:RANK`, or one of these three behind `gain+`.
 * @throws UsageError
 */
export function parseAdapter(text: string): AdapterForm {
  if (text === 'none') return noAdapter;
  const match = /^(?:(gain)|(gain\+)?(lora|mos|orchestrated):(\d+))$/.exec(text);
  const rank = Number(match?.[4] ?? 0);
  if (!match || (match[4] !== undefined && (rank < 1 || rank > maxRank))) {
    throw new UsageError(
      `--adapter takes none, gain, lora:RANK, mos:RANK or orchestrated:RANK, or one of these three behind gain+, with a rank of 1 to ${maxRank}, not ${text}.`,
    );
  }
  const gains = match[1] !== undefined || match[2] !== undefined;
  if (match[3] === 'orchestrated') return { gains, rank, orchestra: orchestraOf(rank) };
  return { gains, rank, ...(match[3] === 'mos' && { pool: usualPool }) };
}

/** With as many components as the rank can be divided into. */
function orchestraOf(rank: number): OrchestraForm {
  return { components: componentCounts.find((count) => rank % count === 0)! };
}
