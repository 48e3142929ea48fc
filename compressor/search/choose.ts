/** What may become of layers `from` to `to - 1` of a checkpoint. */
export interface Candidate {
  from: number;
  to: number;
  /** One layer runs its own block, or that of the kept layer before it; or no layer of several runs. */
  fate: 'kept' | 'shared' | 'removed';
  /** Of one that is shared: the layer whose block it runs, which must be the last one kept before it. */
  owner?: number;
  /** What it harms, such that harms add up. */
  cost: number;
  /** What it stores, in the unit of the limit. 0 or more. */
  size: number;
}

/** Candidates in depth order, which cover every layer once. */
export interface Combination {
  choices: Candidate[];
  cost: number;
  size: number;
}

/** The end of a combination of the layers before some place in depth. */
interface Label {
  cost: number;
  size: number;
  /** The last layer kept. */
  owner: number | undefined;
  choice?: Candidate;
  before?: Label;
}

/**
 * The `count` cheapest combinations that a limit of size allows, the cheapest first: exactly, by dynamic programming over
 * depth with the size as the resource. At every place those ways to get there are kept that differ in what may follow, and
 * of those alike all that fewer than `count` others beat in both cost and size: whatever follows a way that so many beat,
 * they lead to as many combinations that are no worse.
 * @param candidates any number for each place; neighbouring runs of removed layers are one run, so none follows another
 * @returns fewer where there are fewer; none where nothing is small enough
 */
export function cheapestCombinations(
  candidates: readonly Candidate[],
  layers: number,
  limit: number,
  count: number,
): Combination[] {
  /** The last place where a layer's block may be shared. */
  const lastShared = new Map<number, number>();
  for (const { owner, from } of candidates)
    if (owner !== undefined) lastShared.set(owner, Math.max(from, lastShared.get(owner) ?? 0));
  const startingAt = Map.groupBy(candidates, ({ from }) => from);
  const reached = Array.from({ length: layers + 1 }, (): Label[] => []);
  reached[0]!.push({ cost: 0, size: 0, owner: undefined });
  for (let place = 0; place < layers; place++) {
    const alike = Map.groupBy(reached[place]!, ({ owner, choice }) => {
      const shared = owner !== undefined && lastShared.get(owner)! >= place ? owner : '';
      return `${owner !== undefined}/${shared}/${choice?.fate === 'removed'}`;
    });
    for (const label of [...alike.values()].flatMap((labels) => leastDominated(labels, count))) {
      for (const choice of startingAt.get(place) ?? []) {
        if (choice.fate === 'shared' && choice.owner !== label.owner) continue;
        if (choice.fate === 'removed' && label.choice?.fate === 'removed') continue;
        const size = label.size + choice.size;
        if (size > limit) continue;
        const owner = choice.fate === 'kept' ? place : label.owner;
        reached[choice.to]!.push({ cost: label.cost + choice.cost, size, owner, choice, before: label });
      }
    }
  }
  return reached[layers]!.filter(({ owner }) => owner !== undefined)
    .sort(byCost)
    .slice(0, count)
    .map((label) => ({ choices: choicesOf(label), cost: label.cost, size: label.size }));
}

function byCost(a: Label, b: Label): number {
  return a.cost - b.cost || a.size - b.size;
}

/** Those that fewer than `count` others beat, or equal, in both cost and size. */
function leastDominated(labels: readonly Label[], count: number): Label[] {
  /** The smallest sizes of those that cost no more, ascending. */
  const sizes: number[] = [];
  return labels.toSorted(byCost).filter(({ size }) => {
    if (sizes.length === count && sizes.at(-1)! <= size) return false;
    const place = sizes.findIndex((other) => other > size);
    sizes.splice(place < 0 ? sizes.length : place, 0, size);
    if (sizes.length > count) sizes.pop();
    return true;
  });
}

function choicesOf(label: Label): Candidate[] {
  const choices: Candidate[] = [];
  for (let at: Label | undefined = label; at?.choice; at = at.before) choices.push(at.choice);
  return choices.reverse();
}
