import { compact, resetIds } from '../../charts/chart.ts';
import { type Content, html } from '../../charts/html.ts';
import type { Comparison } from '../compare/row.ts';
import { cureCurves } from './cure-curves.ts';
import { gatePaths } from './gate-paths.ts';
import { heatMap } from './heat-map.ts';
import { importance } from './importance.ts';
import { layerMap } from './layer-map.ts';
import { asPerplexity, inMegabytes } from './measure.ts';
import { page, type Section } from './page.ts';
import { bestOf, resultsTable } from './results-table.ts';
import { samples } from './samples.ts';
import { percent } from './series.ts';
import { type Criterion, tradeOff } from './trade-off.ts';

const perplexity: Criterion = {
  ...asPerplexity('perplexity, stored', (row) => row.perplexity.stored),
  better: 'lower',
};

const accuracy = (task: string): Criterion => ({
  label: `accuracy in ${task}, %`,
  better: 'higher',
  of: (row) => 100 * row.tasks[task]!.accuracy,
  format: (value) => `${value.toFixed(1)}% of ${task}`,
});

const storedSize: Criterion = {
  ...inMegabytes('stored size in MB', ({ bytes }) => bytes),
  better: 'lower',
};

const memory: Criterion = {
  ...inMegabytes('memory while serving in MB', ({ serving }) => serving!.memory),
  better: 'lower',
};

const speed: Criterion = {
  label: "speed, times the original's",
  better: 'higher',
  of: (row) => row.serving!.speed,
  format: (value) => `${value.toFixed(2)} times as fast`,
};

/** A comparison as one HTML page. */
export function reportPage(comparison: Comparison): string {
  resetIds();
  return page({
    title: `${comparison.checkpoint}: ways to fold it`,
    lead: headline(comparison),
    circumstances: circumstances(comparison),
    sections: sectionsOf(comparison),
  });
}

function sectionsOf(comparison: Comparison): Section[] {
  const { results, tasks } = comparison;
  const qualities = [perplexity, ...tasks.map(accuracy)];
  const isServed = results.every(({ row }) => row.serving !== undefined);
  const figures = (cost: Criterion) =>
    qualities.map((quality) => html`<figure>${tradeOff(comparison, cost, quality)}</figure>`);
  const gates = results.map(gatePaths).filter((figure) => figure !== undefined);
  return [
    {
      id: 'results',
      title: 'Results',
      body: html`<p>Every model is stored and measured alike. The best one of each budget is marked.</p>${resultsTable(comparison)}`,
    },
    {
      id: 'trade-off',
      title: 'Size against quality',
      body: html`<p>Towards the left models are smaller; lower perplexity and higher accuracy are better. The control has the original's size, trained on the tokens of the cures. The dotted line leads through the models that no other one beats in both.</p>
${figures(storedSize)}`,
    },
    {
      id: 'serving',
      title: 'Speed and memory against quality',
      body:
        isServed &&
        html`<p>Speed is that of decoding one sequence on the machine that wrote this page, all models in turn; memory is computed, for a process with 2,048 tokens in its cache.</p>
${figures(speed)}${figures(memory)}`,
    },
    {
      id: 'blocks',
      title: 'Layers and blocks',
      body: html`<p>Each number is the block that a layer of the checkpoint runs. Dashed places are layers that went; a bar across them is a linear patch.</p>
<figure>${layerMap(comparison)}</figure>`,
    },
    {
      id: 'similarity',
      title: 'Similarity of layers',
      body: html`<p>Mean cosine of the same token's hidden states at two depths of the checkpoint, 0 being the embedding. Squares of one colour along the diagonal are runs of layers that change little.</p>
<figure class="square">${heatMap(comparison.similarity)}</figure>`,
    },
    { id: 'importance', title: 'Importance of layers', body: importance(results) },
    {
      id: 'gates',
      title: 'Gates',
      body:
        gates.length > 0
          ? html`<p>All gates are trained together towards the wanted size. The layers whose gates end lowest are removed; their numbers stand at the right (with a for attention and m for MLP where halves have gates of their own).</p>${gates}`
          : undefined,
    },
    { id: 'cure', title: 'The cure', body: cureSection(comparison) },
    {
      id: 'samples',
      title: 'What the models write',
      body: html`<p>The stored models go on from beginnings of held-out texts, the likeliest token each time.</p>${samples(comparison)}`,
    },
  ];
}

function cureSection(comparison: Comparison): Content {
  const curves = cureCurves(comparison);
  const budgets = new Set(
    comparison.results.map(({ row }) => row.budget).filter((budget) => budget !== null),
  );
  const hint = budgets.size > 1 && html`<p>Of one method, dashed lines are larger savings.</p>`;
  return curves && html`${hint}${curves}`;
}

function headline(comparison: Comparison): string {
  const base = comparison.results[0]!.row.perplexity.before;
  return bestOf(comparison)
    .map(({ row }) => {
      const ratio = (row.perplexity.stored / base).toFixed(3);
      return `With ${percent(row.budget!, 0)} of the block parameters to save, ${row.method} does best: perplexity ${row.perplexity.stored.toFixed(2)}, ${ratio} times the original's.`;
    })
    .join(' ');
}

function circumstances(comparison: Comparison): string {
  const { data, cureTokens, heldOutTokens, seed, quantize, createdAt } = comparison;
  const cured = cureTokens > 0 ? `cured on ${compact(cureTokens)} tokens of` : 'not cured; data:';
  return (
    `${comparison.checkpointLayers} layers; ${cured} ${data.join(', ')}; measured on ${heldOutTokens} held-out tokens; ` +
    `stored as ${quantize} unless said otherwise; seed ${seed}; ${createdAt.slice(0, 10)}. The best of a budget is ` +
    `found on the text that is shown, and small differences are chance.`
  );
}
