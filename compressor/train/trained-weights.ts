import { type AdapterOrchestra, commonParts, type OrchestraValues } from '../adapter/adapter-orchestra.ts';
import type { AdapterPools, PoolValues } from '../adapter/adapter-pools.ts';
import type { Architecture } from '../checkpoint/architecture.ts';
import type { CheckpointTensor } from '../checkpoint/checkpoint.ts';
import { blockMatrices } from '../graph/layer.ts';
import { blocksOf, type LinearPatch, type Student } from '../student/student.ts';
import type { BlockWeights } from '../weights/block.ts';
import type { OwnWeights } from '../weights/own.ts';
import type { Parameter } from './adamw.ts';
import { type CuredPart, trainsBlocks } from './cure-options.ts';
import type { LayerGradients } from './layer-gradient.ts';

/** What the low-rank matrices of several layers are made of together. */
type LowRankSource = AdapterPools | AdapterOrchestra;

/** Everything of a student that is trained, or one array of gradients for each of it. */
interface Arrays {
  blocks: BlockWeights[];
  /** By layer, without what a common source makes. */
  own: OwnWeights[];
  /** What layers' low-rank matrices are made of, where they share it. */
  source: Record<string, Float32Array> | undefined;
  patches: (LinearPatch | undefined)[];
  finalNorm: Float32Array;
  /** Where they are trained: [vocabulary, width] each, a head of its own where it is not the embedding. */
  vocabulary: Partial<Record<'embedding' | 'head', Float32Array>>;
}

/**
 * A student's weights in memory, with their gradients. Embedding and head are part of it where they are trained.
 */
export class TrainedWeights implements Arrays {
  readonly blocks: BlockWeights[];
  readonly own: OwnWeights[];
  readonly source: Record<string, Float32Array> | undefined;
  readonly patches: (LinearPatch | undefined)[];
  readonly finalNorm: Float32Array;
  readonly vocabulary: Arrays['vocabulary'];
  readonly gradients: Arrays;
  /** What the optimizer changes. */
  readonly parameters: readonly Parameter[];
  readonly #student: Student;
  readonly #part: CuredPart;
  readonly #source: LowRankSource | undefined;
  /** What the source makes for one layer at a time, and its gradients, which are zero between two layers. */
  readonly #atWork: { matrices: PoolValues; gradients: PoolValues } | undefined;

  /** Reads copies: the student's own weights stay as they are. */
  static async read(student: Student, part: CuredPart): Promise<TrainedWeights> {
    const blocks: BlockWeights[] = [];
    for (let block = 0; block < blocksOf(student); block++)
      blocks.push(mapBlock(await student.block(block), copy));
    const own: OwnWeights[] = [];
    const patches: (LinearPatch | undefined)[] = [];
    const source = (student.pools ?? student.orchestra)?.copy();
    for (const index of student.layers.keys()) {
      const ofLayer = await student.own(index);
      own.push(mapArrays(source?.layers.includes(index) ? withoutLowRank(ofLayer) : ofLayer, copy));
      const patch = await student.patch(index);
      patches.push(patch && mapArrays(patch, copy));
    }
    const finalNorm = copy(await student.tensor('norm').read());
    const vocabulary: Arrays['vocabulary'] = {};
    if (part === 'model') {
      vocabulary.embedding = copy(await student.tensor('embedding').read());
      if (!student.architecture.tiedHead) vocabulary.head = copy(await student.tensor('head').read());
    }
    const arrays = { blocks, own, source: source?.values, patches, finalNorm, vocabulary };
    return new TrainedWeights(student, part, arrays, source);
  }

  private constructor(student: Student, part: CuredPart, arrays: Arrays, source: LowRankSource | undefined) {
    this.#student = student;
    this.#part = part;
    this.blocks = arrays.blocks;
    this.own = arrays.own;
    this.source = arrays.source;
    this.patches = arrays.patches;
    this.finalNorm = arrays.finalNorm;
    this.vocabulary = arrays.vocabulary;
    this.#source = source;
    this.#atWork = source && { matrices: source.emptyMatrices(), gradients: source.emptyMatrices() };
    // Nothing is computed for what is not trained, so it needs no memory.
    const zeros = trainsBlocks(part) ? zerosLike : () => new Float32Array();
    this.gradients = {
      blocks: this.blocks.map((block) => mapBlock(block, zeros)),
      own: this.own.map((own) => mapArrays(own, zerosLike)),
      source: this.source && mapArrays(this.source, zerosLike),
      patches: this.patches.map((patch) => patch && mapArrays(patch, zeros)),
      finalNorm: zerosLike(this.finalNorm),
      vocabulary: mapArrays(this.vocabulary, zerosLike),
    };
    this.parameters = [...parametersOf(this, this.gradients, part, source?.kind)];
  }

  get architecture(): Architecture {
    return this.#student.architecture;
  }

  get layers(): Student['layers'] {
    return this.#student.layers;
  }

  get widths(): Student['widths'] {
    return this.#student.widths;
  }

  /** What a layer has of its own as it runs. What a source makes of it is good until the next call. */
  ownAtWork(index: number): OwnWeights {
    return { ...this.own[index]!, ...this.#source?.assemble(index, this.#atWork!.matrices) };
  }

  /** Where a layer's gradients go: layers of one group share its block's. `gather` is to follow. */
  layerGradients(index: number): LayerGradients {
    const own = this.gradients.own[index]!;
    return {
      ...this.gradients.blocks[this.layers[index]!.block]!,
      own: this.#source?.layers.includes(index) ? { ...own, ...this.#atWork!.gradients } : own,
    };
  }

  /** Gives the gradients of what a source made for a layer to the source. */
  gather(index: number): void {
    const source = this.#source;
    if (!source?.layers.includes(index)) return;
    const { gradients } = this.#atWork!;
    if (source.kind === 'pools') source.scatter(index, gradients, this.gradients.source as PoolValues);
    else source.scatter(index, gradients, this.gradients.source as OrchestraValues);
    for (const gradient of Object.values(gradients)) gradient.fill(0);
  }

  zeroGradients(): void {
    for (const { gradient } of this.parameters) gradient.fill(0);
  }

  /** The student with these weights, which it shares. */
  asStudent(): Student {
    const base = this.#student;
    const source = this.#source;
    return {
      architecture: base.architecture,
      layers: base.layers,
      widths: base.widths,
      tensor: (role) => {
        if (role === 'norm') return asTensor(role, [this.finalNorm.length], this.finalNorm);
        const trained = this.vocabulary[role];
        return trained ? asTensor(role, base.tensor(role).shape, trained) : base.tensor(role);
      },
      block: async (block) => this.blocks[block]!,
      matrix: async (block, matrix) => this.blocks[block]!.matrices[matrix]!,
      qkvBias: async (block) => this.blocks[block]!.qkvBias,
      own: async (index) => ({ ...this.own[index]!, ...source?.assemble(index) }),
      ...(source && { [source.kind]: source }),
      patch: async (index) => this.patches[index],
      unchanged: (block) => (trainsBlocks(this.#part) ? undefined : base.unchanged(block)),
    };
  }
}

function* parametersOf(
  weights: Arrays,
  gradients: Arrays,
  part: CuredPart,
  kindOfSource: LowRankSource['kind'] | undefined,
): Generator<Parameter> {
  const parameter = (
    name: string,
    values: Float32Array,
    gradient: Float32Array,
    kind: Parameter['kind'] = 'vector',
  ) => ({ name, values, gradient, kind });
  if (trainsBlocks(part)) {
    for (const [b, { matrices, qkvBias }] of weights.blocks.entries()) {
      const own = gradients.blocks[b]!;
      for (const matrix of blockMatrices) {
        if (!matrices[matrix]) continue;
        const trained = parameter(`blocks.${b}.${matrix}`, matrices[matrix], own.matrices[matrix]!, 'matrix');
        yield { ...trained, matrix };
      }
      if (qkvBias) yield parameter(`blocks.${b}.qkv.bias`, qkvBias, own.qkvBias!);
    }
    for (const [i, patch] of weights.patches.entries()) {
      if (!patch) continue;
      const { weight, bias } = gradients.patches[i]!;
      yield parameter(`patches.${i}.weight`, patch.weight, weight, 'matrix');
      yield parameter(`patches.${i}.bias`, patch.bias, bias);
    }
  }
  for (const [i, own] of weights.own.entries()) {
    const ofOwn = gradients.own[i]! as Record<string, Float32Array>;
    for (const [name, values] of Object.entries(own)) {
      const kind = kindOf(name);
      if (kind === 'vector' || part !== 'norms')
        yield parameter(`layers.${i}.${name}`, values, ofOwn[name]!, kind);
    }
  }
  for (const [name, values] of Object.entries(weights.source ?? {})) {
    if (part !== 'norms')
      yield parameter(`${kindOfSource}.${name}`, values, gradients.source![name]!, kindOfPart(name));
  }
  yield parameter('norm', weights.finalNorm, gradients.finalNorm);
  for (const [name, values] of Object.entries(weights.vocabulary))
    yield parameter(name, values, gradients.vocabulary[name as 'embedding' | 'head']!, 'matrix');
}

/** An array as a checkpoint gives it: copies of its rows. */
function asTensor(
  role: 'embedding' | 'head' | 'norm',
  shape: readonly number[],
  values: Float32Array,
): CheckpointTensor {
  const row = values.length / shape[0]!;
  return {
    role,
    shape,
    storedAs: 'F32',
    read: async (start = 0, count = shape[0]! - start) => values.slice(start * row, (start + count) * row),
  };
}

function kindOf(name: string): Parameter['kind'] {
  if (name.endsWith('.gain')) return 'gain';
  return /\.(down|up)$/.test(name) ? 'matrix' : 'vector';
}

/** Of what a source consists of. Decay would draw a relation and a head away from the identity. */
function kindOfPart(name: string): Parameter['kind'] {
  return commonParts.some((part) => name.endsWith(`.${part}`)) ? 'vector' : 'matrix';
}

function withoutLowRank(own: OwnWeights): OwnWeights {
  const others = Object.entries(own).filter(([name]) => kindOf(name) !== 'matrix');
  return Object.fromEntries(others) as OwnWeights;
}

type Change = (array: Float32Array) => Float32Array;

const copy: Change = (array) => array.slice();
const zerosLike: Change = (array) => new Float32Array(array.length);

function mapBlock({ matrices, qkvBias }: BlockWeights, change: Change): BlockWeights {
  return { matrices: mapArrays(matrices, change), ...(qkvBias && { qkvBias: change(qkvBias) }) };
}

function mapArrays<T extends Record<string, Float32Array> | LinearPatch | OwnWeights | Arrays['vocabulary']>(
  all: T,
  change: Change,
): T {
  return Object.fromEntries(Object.entries(all).map(([name, array]) => [name, change(array)])) as T;
}
