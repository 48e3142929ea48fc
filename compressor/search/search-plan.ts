import { UsageError } from '../../artifact/errors.ts';
import { type AdapterForm, noAdapter } from '../adapter/adapter.ts';
import type { Checkpoint } from '../checkpoint/checkpoint.ts';
import { type TextWindows, windowsFrom } from '../evaluate/windows.ts';
import { fromStart, type PlanOptions } from '../plan/make-plan.ts';
import type { FoldPlan } from '../plan/plan.ts';
import { keptAbove } from '../rank/kept-above.ts';
import { type Candidate, type Combination, cheapestCombinations } from './choose.ts';
import { draftPlan, type PartSizes, partSizes } from './draft-plan.ts';
import { measureLoss } from './measure-loss.ts';
import { measureReplacements } from './measure-replacements.ts';
import {
  type MeasuredReplacement,
  type ReplacementCost,
  type ReplacementRequest,
  replacementsOf,
} from './replacements.ts';

/** What a plan may take. */
export interface PlanSize {
  /** In any unit that grows alike with every layer that is kept, shared or patched. */
  of: (plan: FoldPlan) => number;
  limit: number;
  /** A size for messages. */
  inWords: (size: number) => string;
}

export interface SearchRequest {
  size: PlanSize;
  options: Omit<PlanOptions, 'remove'>;
  /** What each replacement is held to. @default error */
  cost?: ReplacementCost;
  onProgress?: (step: string, done: number, total: number) => void;
  signal?: AbortSignal;
}

/** Layers of the longest run that is removed: each run has a patch to be fitted, and the best ones are shorter. */
const longestRun = 8;

/** How far before a layer lies the block that it may run. */
const reach = 3;

/** The best combinations by the sum of their costs, whose loss as a whole decides. */
const finalists = 8;

/** Of the text, what patches are fitted on; the rest measures. */
const fittedShare = 0.75;

/** Combinations that one form of adapter allows. */
interface Field {
  form: AdapterForm;
  sizes: PartSizes;
}

/**
 * Finds what becomes of each layer, block by block against the checkpoint, as DNA (arXiv 1911.13053) and DiffNAS (arXiv
 * 2311.04950) find the blocks of image classifiers and diffusion models. A layer is kept; removed with its neighbours, a
 * linear patch in their place if the options say so; or runs the block of the kept layer before it, tied, or with
 * low-rank matrices if the options have any. Each of these is measured by itself (`measureReplacements`); the
 * combinations within the size whose costs add up to least are found exactly (`cheapestCombinations`); of the best of
 * them, carried out as a whole, the one of the least loss is taken.
 *
 * A plan has one form of adapter for all layers, so low-rank matrices are for all that share or for none: both are tried.
 * @param text of which three quarters fit patches; the rest measures
 * @throws UsageError for options that leave the search no choice, and where nothing is small enough
 */
export async function searchPlan(
  checkpoint: Checkpoint,
  text: TextWindows,
  { size, options, cost = 'error', onProgress, signal }: SearchRequest,
): Promise<FoldPlan> {
  const depth = checkpoint.architecture.layers.length;
  checkOptions(options, depth);
  const kept = fromStart(options.keep, depth);
  const fitted = Math.max(1, Math.floor(text.windows.length * fittedShare));
  const held = fitted < text.windows.length ? fitted : 0; // one window has to serve both
  const fields = formsOf(options.adapter).map(
    (form): Field => ({ form, sizes: partSizes(checkpoint, form, options, size.of) }),
  );
  const request: ReplacementRequest = {
    removable: new Set([...Array(depth).keys()].filter((layer) => !kept.includes(layer))),
    longest: Math.min(longestRun, depth - 1),
    patched: options.patch === 'linear',
    reach,
    ranks: fields.map(({ form }) => form.rank),
    fitted,
    held,
    cost,
    onProgress: (done, total) => onProgress?.('Measuring what may replace each layer', done, total),
    ...(signal && { signal }),
  };
  const within = (field: Field, measured: MeasuredReplacement[], limit: number, count: number) =>
    cheapestCombinations(candidatesOf(field, measured, depth), depth, limit - field.sizes.fixed, count);
  const unmeasured = replacementsOf(depth, request).map((one) => ({ ...one, cost: 0 }));
  if (fields.every((field) => within(field, unmeasured, size.limit, 1).length === 0)) {
    throw new UsageError(
      `No fold of ${checkpoint.name} that the search may make comes to ${size.inWords(size.limit)}. ` +
        'Allow more, or let more layers go with --keep.',
    );
  }
  const measured = await measureReplacements(checkpoint, text, request);
  const found = fields
    .flatMap((field) =>
      within(field, measured, size.limit, finalists).map((combination) => ({
        ...combination,
        plan: draftPlan(checkpoint, combination.choices, field.form, options),
      })),
    )
    .sort((a, b) => a.cost - b.cost);
  const best = distinct(found).slice(0, finalists);
  const heldOut = windowsFrom(text, held);
  const losses: number[] = [];
  for (const { plan } of best) {
    onProgress?.('Measuring the best together', losses.length, best.length);
    losses.push(await measureLoss(checkpoint, plan, text.windows.slice(0, fitted), heldOut, signal));
  }
  onProgress?.('Measuring the best together', best.length, best.length);
  const finite = losses.map((loss) => (Number.isFinite(loss) ? loss : Number.MAX_VALUE));
  const { plan, choices } = best[finite.indexOf(Math.min(...finite))]!;
  return { ...plan, scores: scoresOf(measured, choices, depth) };
}

/** @throws UsageError */
function checkOptions(
  { share, refill, weights, patch, adapter, keep, width = 1, shrink = 'depth' }: SearchRequest['options'],
  depth: number,
): void {
  const refused = [
    ...(share > 1 ? ['--share'] : []),
    ...(refill !== undefined && refill !== 'none' ? ['--refill'] : []),
    ...(weights !== 'first' ? ['--weights'] : []),
    ...(patch === 'block' ? ['--patch block'] : []),
    ...(adapter?.pool ? ['--adapter mos'] : []),
    ...(width < 1 ? ['--width'] : []),
    ...(shrink !== 'depth' ? [`--shrink ${shrink}`] : []),
  ];
  if (refused.length > 0) {
    throw new UsageError(
      `--rank search decides itself which layers share a block, and measures what it decides; ${refused.join(' and ')} ` +
        'cannot be used with it. It takes --patch none or linear, and --adapter none, gain or lora:RANK.',
    );
  }
  const outside = keep.find((layer) => layer < -depth || layer >= depth);
  if (outside !== undefined)
    throw new UsageError(`--keep names layer ${outside}, and there are layers 0 to ${depth - 1}.`);
  if (depth < 2) throw new UsageError('A model of one layer has nothing to search for.');
}

/** Without low-rank matrices and with them, where there are any. */
function formsOf(adapter: AdapterForm = noAdapter): AdapterForm[] {
  return adapter.rank === 0 ? [adapter] : [{ gains: adapter.gains, rank: 0 }, adapter];
}

function candidatesOf({ form, sizes }: Field, measured: MeasuredReplacement[], depth: number): Candidate[] {
  const kept = Array.from({ length: depth }, (_, from): Candidate => {
    return { from, to: from + 1, fate: 'kept', cost: 0, size: sizes.kept };
  });
  const replaced = measured.flatMap((one): Candidate[] => {
    const { from, to, fate, cost } = one;
    // Where a run begins the model, no layer is before it that a patch could follow.
    if (fate === 'removed') return [{ from, to, fate, cost, size: from > 0 ? sizes.patch : 0 }];
    return one.rank === form.rank ? [{ from, to, fate, owner: one.owner, cost, size: sizes.shared }] : [];
  });
  return [...kept, ...replaced];
}

/** Combinations in which no layer shares are the same for every form. */
function distinct<T extends { plan: FoldPlan }>(found: T[]): T[] {
  const byPlan = new Map(found.map((one) => [JSON.stringify(one.plan), one]));
  return [...byPlan.values()];
}

/** The least cost at which a layer alone could be replaced; of those that are, of what replaces them, a layer. */
function scoresOf(measured: MeasuredReplacement[], choices: Combination['choices'], depth: number): number[] {
  const scores = Array.from({ length: depth }, (_, layer) => {
    const alone = measured.filter(({ from, to }) => from === layer && to === layer + 1);
    return alone.length === 0 ? 0 : Math.min(...alone.map(({ cost }) => cost));
  });
  const replaced = choices.filter(({ fate }) => fate !== 'kept');
  for (const { from, to, cost } of replaced) scores.fill(cost / (to - from), from, to);
  return keptAbove(
    scores,
    replaced.flatMap(({ from, to }) => Array.from({ length: to - from }, (_, i) => from + i)),
  );
}
