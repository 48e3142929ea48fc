import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import { InvalidDataError, UsageError } from '../../artifact/errors.ts';
import { cachedLayers, halves } from '../../artifact/manifest.ts';
import { adaptedLayers } from '../adapter/adapted-layers.ts';
import { maxRank } from '../adapter/adapter.ts';
import { componentCounts } from '../adapter/hypercomplex.ts';
import { fittedLayers, sharedFittedLayer } from '../patch/cuts.ts';

/** Which layer of a group gives the shared weights, or how they are averaged. */
export const sharedWeights = ['first', 'middle', 'last', 'mean', 'weighted'] as const;
export type SharedWeights = (typeof sharedWeights)[number];

/**
 * What stands in for each run of removed layers: nothing, a linear map behind the layer before them, or that layer
 * itself, trained to do what it and they did.
 */
export const patchKinds = ['none', 'linear', 'block'] as const;
export type PatchKind = (typeof patchKinds)[number];

const index = z.int().min(0).max(4095);

const planSchema = z.strictObject({
  version: z.literal(1),
  /** Name of the checkpoint it was made for, and its depth. */
  checkpoint: z.string(),
  checkpointLayers: z.int().min(1).max(4096),
  /** How the layers were ranked; `manual` where a person wrote the plan. */
  method: z.string(),
  /**
   * Layers in depth order: each runs `block` (counted from 0) with the norms of layer `source`. One with
   * `refill` was removed, and its place is filled again by the block of a kept layer, behind gains that start
   * at zero: it changes nothing until it is trained. One with `half` runs that half of the block alone.
   */
  layers: z
    .array(
      z.strictObject({
        source: index,
        block: index,
        half: z.enum(halves).optional(),
        refill: z.literal(true).optional(),
      }),
    )
    .min(1),
  /** What layers that run another layer's block have of their own besides norms. @default nothing */
  adapter: z
    .strictObject({
      gains: z.boolean(),
      rank: z.int().min(0).max(maxRank),
      /** Where the low-rank matrices are made of shards from common pools. @default each layer has its own */
      pool: z
        .strictObject({
          shards: z.int().min(1).max(64),
          saving: z.number().min(1).max(1024),
          privateShare: z.number().min(0).lt(1),
          seed: z.int().min(0).max(0xffffffff),
        })
        .optional(),
      /** Where all layers' low-rank matrices are trained together. @default each layer's alone */
      orchestra: z.strictObject({ components: z.literal([...componentCounts]) }).optional(),
    })
    .optional(),
  /**
   * By block, the length of its MLP's activations: rows of gate and up, columns of down. Where that is less than the
   * checkpoint's, the MLP is approximated on a text. @default the checkpoint's, for all blocks
   */
  widths: z.array(z.int().min(1)).optional(),
  /** What stands in for each run of removed layers. @default none */
  patch: z.enum(patchKinds).optional(),
  /** Whose weights a group runs. */
  weights: z.enum(sharedWeights),
  /** As for `--quantize`. */
  quantize: z.string(),
  /** Importance of each layer of the checkpoint, by `method`: the higher, the more it matters. */
  scores: z.array(z.number()).optional(),
  /** Where halves were ranked apart: the same of each half. */
  halfScores: z.strictObject({ attention: z.array(z.number()), mlp: z.array(z.number()) }).optional(),
  /** How the gates moved while they were trained, where gates ranked the layers. */
  gates: z
    .array(
      z.strictObject({
        step: z.int(),
        loss: z.number(),
        size: z.number(),
        epsilon: z.number(),
        gates: z.array(z.number()),
      }),
    )
    .optional(),
});

/** A fold, written down before it is carried out: printable, editable, replayable. */
export type FoldPlan = z.infer<typeof planSchema>;
export type PlannedLayer = FoldPlan['layers'][number];

/** The sources of every block's layers, in block order. */
export function groupsOf(plan: { layers: readonly PlannedLayer[] }): number[][] {
  const groups: number[][] = [];
  for (const { source, block } of plan.layers) {
    groups[block] ??= [];
    groups[block].push(source);
  }
  return groups;
}

/** The checkpoint that a plan is to fit. */
export interface PlannedCheckpoint {
  name: string;
  layers: number;
  /** Length of its MLPs' activations. */
  intermediateSize: number;
}

/**
 * @param checkpoint undefined where there is none: the plan is checked by itself
 * @throws InvalidDataError where the plan contradicts itself or the checkpoint.
 */
export function checkPlan(
  input: unknown,
  checkpoint: PlannedCheckpoint | undefined,
  where: string,
): FoldPlan {
  const parsed = planSchema.safeParse(input);
  if (!parsed.success)
    throw new InvalidDataError(`${where} is no fold plan:\n${z.prettifyError(parsed.error)}`);
  const plan = parsed.data;
  const wrong = (message: string) => new InvalidDataError(`${where}: ${message}`);
  const layers = plan.checkpointLayers;
  if (checkpoint && layers !== checkpoint.layers) {
    throw wrong(
      `it is for ${plan.checkpoint} with ${layers} layers, ${checkpoint.name} has ${checkpoint.layers}. ` +
        'Make a plan for this checkpoint with `foldgate plan`.',
    );
  }
  let previous = -1;
  for (const [i, { source }] of plan.layers.entries()) {
    if (source >= layers) {
      throw wrong(`layers[${i}].source is ${source}, the last layer is ${layers - 1}.`);
    }
    if (source < previous)
      throw wrong(`layers[${i}].source is ${source} after ${previous}: keep the depth order.`);
    previous = source;
  }
  const blocks = new Set(plan.layers.map((layer) => layer.block));
  for (let block = 0; block < blocks.size; block++) {
    if (!blocks.has(block))
      throw wrong(`block ${block} of ${blocks.size} has no layer: count blocks from 0.`);
  }
  checkWidths(plan, blocks.size, checkpoint, wrong);
  const refilled = plan.layers.findIndex(
    ({ refill, block }) => refill && !plan.layers.some((layer) => !layer.refill && layer.block === block),
  );
  if (refilled >= 0) {
    throw wrong(
      `layers[${refilled}] is filled again with block ${plan.layers[refilled]!.block}, which no kept layer has.`,
    );
  }
  if (plan.layers.some(({ refill }) => refill) && !plan.adapter?.gains) {
    throw wrong('layers with "refill" come in through gains: set "adapter": {"gains": true, "rank": 0}.');
  }
  if (plan.adapter?.pool && plan.adapter.rank === 0) {
    throw wrong('the "pool" of "adapter" makes low-rank matrices: give them a "rank" of 1 or more.');
  }
  if (plan.adapter?.orchestra) {
    const { rank, pool, orchestra } = plan.adapter;
    if (pool) {
      throw wrong(
        'the low-rank matrices of "adapter" are made of shards ("pool") or trained together ("orchestra"), not both.',
      );
    }
    if (rank === 0 || rank % orchestra.components !== 0) {
      throw wrong(
        `the head of the "orchestra" of "adapter" has ${orchestra.components} components: give a "rank" that is a ` +
          `multiple of it, not ${rank}.`,
      );
    }
  }
  checkHalves(plan, wrong);
  const fitted = sharedFittedLayer(plan);
  if (fitted !== undefined) {
    throw wrong(
      `"patch": "block" trains layers[${fitted}], before removed ones, but other layers run its block too: ` +
        'give it a block of its own, or set "patch": "linear".',
    );
  }
  if (plan.scores && plan.scores.length !== layers) {
    throw wrong(`scores has ${plan.scores.length} entries for ${layers} layers.`);
  }
  for (const [half, scores] of Object.entries(plan.halfScores ?? {})) {
    if (scores.length !== layers)
      throw wrong(`halfScores.${half} has ${scores.length} entries for ${layers} layers.`);
  }
  if (plan.weights === 'weighted' && !plan.scores) {
    throw wrong('"weighted" needs scores, one per layer of the checkpoint.');
  }
  return plan;
}

/** What layers that run one half alone cannot be besides. */
function checkHalves(plan: FoldPlan, wrong: (message: string) => InvalidDataError): void {
  const { layers } = plan;
  const first = (which: (index: number) => boolean) =>
    [...layers.keys()].find((index) => layers[index]!.half && which(index));
  if (cachedLayers(layers) === 0)
    throw wrong('no layer runs attention: a token would know nothing of those before it.');
  const refilled = first((index) => layers[index]!.refill === true);
  if (refilled !== undefined)
    throw wrong(`layers[${refilled}] has "refill" and "half": what comes back runs the whole block.`);
  const adapted = new Set(adaptedLayers(plan));
  const halfAdapted = first((index) => adapted.has(index));
  if (halfAdapted !== undefined) {
    throw wrong(
      `layers[${halfAdapted}] runs one half of another layer's block, and an "adapter" is of whole layers: ` +
        'give it a block of its own, or leave out the "adapter".',
    );
  }
  const fitted = new Set(fittedLayers(plan));
  const halfFitted = first((index) => fitted.has(index));
  if (halfFitted !== undefined) {
    throw wrong(
      `"patch": "block" trains layers[${halfFitted}], before removed ones, which runs one half alone: ` +
        'leave out its "half", or set "patch": "linear".',
    );
  }
}

/** The smallest run of weights with a scale of its own: codes are padded to it, so that other widths save nothing. */
export const leastGranule = 32;

function checkWidths(
  { widths, adapter, checkpoint: name }: FoldPlan,
  blocks: number,
  checkpoint: PlannedCheckpoint | undefined,
  wrong: (message: string) => InvalidDataError,
): void {
  if (!widths) return;
  if (widths.length !== blocks) throw wrong(`widths has ${widths.length} entries for ${blocks} blocks.`);
  const whole = checkpoint?.intermediateSize ?? Math.max(...widths);
  for (const [block, width] of widths.entries()) {
    if (width > whole)
      throw wrong(
        `widths[${block}] is ${width}, and the MLPs of ${name} are ${whole} wide: narrow them only.`,
      );
    if (width !== whole && width % leastGranule !== 0) {
      throw wrong(
        `widths[${block}] is ${width}: take a multiple of ${leastGranule}, to which codes are padded, or ${whole}, ` +
          'the whole width.',
      );
    }
  }
  if (adapter && adapter.rank > 0 && widths.some((width) => width < whole)) {
    throw wrong(
      'low-rank matrices of "adapter" start from blocks as wide as the checkpoint\'s: leave out "widths".',
    );
  }
}

/** @param checkpoint as for `checkPlan` */
export async function readPlan(path: string, checkpoint: PlannedCheckpoint | undefined): Promise<FoldPlan> {
  const text = await readFile(path, 'utf8').catch((cause: Error) => {
    throw new UsageError(`No plan could be read from ${path}. Make one with \`foldgate plan ... --json\`.`, {
      cause,
    });
  });
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw new InvalidDataError(`${path} is no JSON.`, { cause });
  }
  return checkPlan(json, checkpoint, path);
}
