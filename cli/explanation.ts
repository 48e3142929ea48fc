import { halfNames } from '../compressor/graph/halves.ts';
import { explainPlan, type LayerReason } from '../compressor/plan/explain.ts';
import type { FoldPlan } from '../compressor/plan/plan.ts';
import { blocksOf } from '../compressor/student/student.ts';

/** What a layer's score says, by the plan's method. */
const meanings: Record<string, (score: string) => string> = {
  loss: (score) => `the loss rises by ${score} nats a token without it`,
  greedy: (score) => `the loss rises by ${score} nats a token without it, as measured when others were gone`,
  blockpruner: (score) =>
    `the loss rises by ${score} nats a token without it, as measured when others were gone`,
  influence: (score) => `it turns the hidden state by ${score} (1 - cosine)`,
  gates: (score) => `its gate ended at ${score}`,
  'gates-halves': (score) => `its gate ended at ${score}`,
  runs: (score) => `its share of what its run costs with a patch in its place is ${score} nats a token`,
  cosine: (score) => `it turns the hidden state by ${score} (1 - cosine)`,
  angular: (score) => `it turns the hidden state by ${score} of a half turn`,
  clusters: (score) => `its output differs from that of its cluster's first layer by ${score} (1 - CKA)`,
};

const barLength = 12;

/** In words and a picture, for people. */
export function explanation(plan: FoldPlan): string {
  const reasons = explainPlan(plan);
  const kept = plan.layers.filter(({ refill }) => !refill).length;
  const digits = String(plan.checkpointLayers - 1).length;
  const lines = reasons.map((reason) => {
    // By place, not by score: the first and last layers often matter a hundred times as much as the others.
    const share = (reason.rank ?? 0) / plan.checkpointLayers;
    const bar = '█'.repeat(Math.round(share * barLength)).padEnd(barLength, '·');
    const number = String(reason.layer).padStart(digits);
    return `${number} ${plan.scores ? `${bar} ` : ''}${sign(reason)} ${sentence(reason, plan)}`;
  });
  return [
    `${plan.checkpoint}: ${kept} of ${plan.checkpointLayers} layers are kept, running ${blocksOf(plan)} distinct blocks.`,
    plan.scores
      ? `Layers were ranked by ${plan.method}; the longer the bar, the more a layer matters.`
      : 'No ranking chose them.',
    '',
    ...lines,
    '',
    legend,
  ].join('\n');
}

const halfSigns = { attention: '▀', mlp: '▄' };

const legend =
  "■ own block  □ another's  ▀ attention alone  ▄ MLP alone  ◌ comes back with another's  ✕ removed  " +
  '~ a linear patch follows  + trained to stand in for those after it';

function sign({ fate, half, patched, fitted }: LayerReason): string {
  const signs = { own: '■', shared: '□', refilled: '◌', removed: '✕' };
  return `${half ? halfSigns[half] : signs[fate]}${patched ? '~' : fitted ? '+' : ' '}`;
}

function sentence(reason: LayerReason, plan: FoldPlan): string {
  const { fate, block, weightsOf, half, width, adapted, fitted, spared } = reason;
  const others = weightsOf?.length === 1 ? `layer ${weightsOf[0]}` : `layers ${weightsOf?.join(', ')} mixed`;
  const wide = width === undefined ? '' : `, its MLP ${width} wide`;
  const own = adapted ? ' with an adapter of its own' : '';
  const what = {
    own: fitted
      ? `is trained, from its own weights, to do what it and the layers after it did, block ${block}${wide}`
      : `keeps its own weights, block ${block}${wide}`,
    shared: `runs block ${block}, the weights of ${others}${wide}${own}`,
    refilled: `is removed; its place runs block ${block} of ${others} behind gains that start at zero`,
    removed: 'is removed',
  }[fate];
  const alone = half ? `, of which it runs the ${halfNames[half]} alone` : '';
  return `${what}${alone}${why(reason, plan)}${spared ? '; it was not among those that might go' : ''}${patchOf(reason)}.`;
}

function why({ score, rank, halfScores }: LayerReason, { method, checkpointLayers }: FoldPlan): string {
  if (score === undefined) return '';
  const formatted = (value: number) => (Math.abs(value) >= 100 ? value.toFixed(0) : value.toPrecision(3));
  const told = (value: number) => meanings[method]?.(formatted(value)) ?? `its score is ${formatted(value)}`;
  const meaning = halfScores
    ? `of its attention, ${told(halfScores.attention)}; of its MLP, ${told(halfScores.mlp)}`
    : told(score);
  return `: ${meaning}, place ${rank} of ${checkpointLayers} from the least`;
}

function patchOf({ patched }: LayerReason): string {
  return patched ? '; a linear patch stands in for the layers after it' : '';
}
