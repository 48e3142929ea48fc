import { blockMatrices } from '../graph/layer.ts';
import type { LayerWeights } from '../patch/fit-layer.ts';
import type { FittedLayers } from '../patch/fitted-student.ts';
import type { BlockWeights } from '../weights/block.ts';
import { readTensors, writeTensors } from './tensor-blob.ts';
import type { WorkFolder } from './work-folder.ts';

/** The layers that an earlier run trained, or that are trained now: an interrupted fold need not train them again. */
export async function keepFittedLayers(
  work: WorkFolder,
  fitNow: () => Promise<FittedLayers>,
): Promise<FittedLayers> {
  const blob = await work.once('fitted-layers', async () => {
    const fitted = await fitNow();
    const named = [...fitted].flatMap(([index, weights]) =>
      Object.entries(flat(weights)).map(([name, values]) => [`${index}/${name}`, values] as const),
    );
    return writeTensors(work.path, 'fitted-layers', named);
  });
  const byLayer = new Map<number, Record<string, Float32Array>>();
  for (const [key, values] of await readTensors(work.path, blob)) {
    const [index, name] = key.split('/') as [string, string];
    byLayer.set(Number(index), { ...byLayer.get(Number(index)), [name]: values });
  }
  return new Map([...byLayer].map(([index, tensors]) => [index, layerOf(tensors)]));
}

const bias = 'qkv.bias';

function flat({ block, own }: LayerWeights): Record<string, Float32Array> {
  return { ...block.matrices, ...(block.qkvBias && { [bias]: block.qkvBias }), ...own };
}

/** What `flat` made flat: the names of matrices and norms differ. */
function layerOf({ [bias]: qkvBias, ...tensors }: Record<string, Float32Array>): LayerWeights {
  const isMatrix = (name: string) => blockMatrices.some((matrix) => matrix === name);
  const some = (matrices: boolean) =>
    Object.fromEntries(Object.entries(tensors).filter(([name]) => isMatrix(name) === matrices));
  const matrices = some(true) as BlockWeights['matrices'];
  return { block: { matrices, ...(qkvBias && { qkvBias }) }, own: some(false) };
}
