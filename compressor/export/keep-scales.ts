import type { Input } from '../quantize/block-inputs.ts';
import type { ChannelScales } from '../quantize/scaled-student.ts';
import { readTensors, writeTensors } from './tensor-blob.ts';
import type { WorkFolder } from './work-folder.ts';

/** The scales of an earlier run, or those that are found now: an interrupted fold keeps to them. */
export async function keepScales(
  work: WorkFolder,
  find: () => Promise<Map<number, ChannelScales>>,
): Promise<Map<number, ChannelScales>> {
  const blob = await work.once('scales', async () => {
    const found = await find();
    const named = [...found].flatMap(([block, scales]) =>
      Object.entries(scales).map(([input, values]) => [`${block}.${input}`, values] as const),
    );
    return writeTensors(work.path, 'scales', named);
  });
  const scales = new Map<number, ChannelScales>();
  for (const [name, values] of await readTensors(work.path, blob)) {
    const [block, input] = name.split('.') as [string, Input];
    scales.set(Number(block), { ...scales.get(Number(block)), [input]: values });
  }
  return scales;
}
