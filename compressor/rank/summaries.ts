/** The names that `--rank` takes, with a line for `--help`: without loading what carries them out. */
export const rankSummaries = {
  loss: 'by the loss without each layer',
  greedy: 'by that loss, measured again after each removal',
  blockpruner:
    'halves of layers, attention or MLP, by the loss without each, measured again after each removal',
  influence: 'by how little a layer turns the hidden state (quickest)',
  gates: 'by gates trained together to a size',
  'gates-halves': 'by gates of attentions and MLPs apart, trained together to a size',
  runs: 'runs of neighbours, measured with a linear patch in their place',
  angular: 'the one run whose ends are nearest by angle',
  cosine: 'the one run, with the layer before it, that turns the hidden state least; for --patch block',
  clusters: 'neighbours with like outputs (CKA), all but the first of each cluster',
  reverse: 'the deepest first',
  'late-middle': 'one run in the late middle',
  uniform: 'at equal distances',
  search: 'layers to remove and layers to run the block before them, searched for the size of --remove',
} as const;

/** Makes a plan and no ranking: see `searchPlan`. */
export const searchRank = 'search';

/** Those that remove halves of layers, of so many parameters in all. */
export const halfwise: ReadonlySet<string> = new Set(['blockpruner', 'gates-halves']);

/** Those that score layers. */
export type RankerName = Exclude<keyof typeof rankSummaries, typeof searchRank>;
