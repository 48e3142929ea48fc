import { describe, expect, it } from 'vitest';
import { reportPage } from '../../../compressor/report/report.ts';
import { comparison, nasty } from '../../fixtures/comparison.ts';
import { elementsOf } from '../../fixtures/html-elements.ts';

const page = reportPage(comparison());

const all = elementsOf(page);
const values = (attribute: string) => all.flatMap(({ attributes }) => attributes.get(attribute) ?? []);

describe('the page', () => {
  it('closes every element, and the checker would tell', () => {
    expect(all.length).toBeGreaterThan(200);
    expect(() => elementsOf('<p><b></p>')).toThrow('closes b');
    expect(() => elementsOf('<p>')).toThrow('left open');
    expect(() => elementsOf('<p title=x></p>')).toThrow('no tag');
    expect(() => elementsOf('<p>1 < 2</p>')).toThrow();
  });

  it('has every section, and leads to each', () => {
    const ids = [
      'results',
      'trade-off',
      'serving',
      'blocks',
      'similarity',
      'importance',
      'gates',
      'cure',
      'samples',
    ];
    const sections = all.filter(({ name }) => name === 'section');
    expect(sections.map(({ attributes }) => attributes.get('id'))).toEqual(ids);
    expect(values('href')).toEqual(ids.map((id) => `#${id}`));
  });

  it('loads nothing and runs nothing', () => {
    expect(
      all.filter(({ name }) => ['script', 'link', 'img', 'iframe', 'object', 'use'].includes(name)),
    ).toEqual([]);
    for (const attribute of ['src', 'srcset', 'xlink:href', 'onload']) expect(values(attribute)).toEqual([]);
    const style = /<style>([^<]*)<\/style>/.exec(page)![1]!;
    expect(style).not.toMatch(/url\(|@import|https?:/);
    // Anything like an address is text that came from outside.
    expect(page.replaceAll('https://example.org/a.png', '')).not.toMatch(/https?:|\/\/[a-z]/);
  });

  it('escapes what comes from outside', () => {
    expect(page).not.toContain('<script');
    expect(page).not.toContain('\u0007');
    const escaped = '&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt; &amp; &#39;x&#39;';
    // Checkpoint, data, task, prompt, sample and note.
    expect(page.split(escaped).length - 1).toBeGreaterThan(6);
    expect(page.split(nasty.slice(0, 8))).toHaveLength(1);
  });

  it('says in words what each chart shows', () => {
    const ids = values('id');
    expect(new Set(ids).size).toBe(ids.length);
    const charts = all.filter(({ name, attributes }) => name === 'svg' && attributes.get('role') === 'img');
    expect(charts.length).toBeGreaterThan(6);
    for (const { attributes } of charts)
      for (const id of attributes.get('aria-labelledby')!.split(' ')) expect(ids).toContain(id);
    for (const { attributes } of all.filter(({ name }) => name === 'svg'))
      expect(attributes.has('role') || attributes.get('aria-hidden') === 'true').toBe(true);
  });

  it('draws a layer for a layer', () => {
    const cells = all.filter(({ attributes }) => attributes.get('class') === 'heat');
    expect(cells).toHaveLength(25);
    const classes = values('class').map((name) => name.trim());
    // Original, and three folds of 4 layers without 1, 1 and 2.
    expect(classes.filter((name) => name === 'kept')).toHaveLength(4 + 3 + 3 + 2);
    expect(classes.filter((name) => name === 'gone')).toHaveLength(4);
    expect(classes.filter((name) => name === 'patch')).toHaveLength(1);
    expect(classes.filter((name) => name === 'line gate removed')).toHaveLength(1);
    expect(classes.filter((name) => name === 'line gate')).toHaveLength(3);
  });

  it('draws half a layer for half a layer, and what each half scored', () => {
    const other = comparison();
    const { plan } = other.results[2]!;
    plan.layers[1] = { ...plan.layers[1]!, half: 'mlp' }; // layer 2
    plan.halfScores = { attention: [3, 0.1, 0.2, 3], mlp: [4, 0.15, 2, 4] };
    plan.gates = plan.gates!.map((step) => ({ ...step, gates: step.gates.flatMap((g) => [g, g / 2]) }));
    const halved = reportPage(other);
    expect(halved).toContain('<title>layer 2: block 1, MLP alone</title>');
    expect(halved).toContain(', MLP alone in 2.');
    expect(halved).toContain('<title>attention of layer 2: 0.200, removed</title>');
    expect(halved).toContain('<title>MLP of layer 2: 2.00, kept</title>');
    expect(halved).toContain('<title>MLP of layer 1: 0.000 at the end</title>');
    const classes = [...halved.matchAll(/class="([^"]*)"/g)].map(([, name]) => name!.trim());
    expect(classes.filter((name) => name === 'line gate removed')).toHaveLength(3);
    expect(halved).not.toMatch(/NaN|undefined/);
  });

  it('tells how wide MLPs are where they are narrower', () => {
    const other = comparison();
    other.results[2]!.plan.widths = [64, 96, 32];
    const narrow = reportPage(other);
    expect(narrow).toContain('<title>layer 2: block 1, MLP 96 wide</title>');
    expect(narrow).toContain(', MLPs 32 to 96 wide.');
  });

  it('says what stands in for removed layers', () => {
    expect(page).toContain('<title>a linear patch in the place of layers 1 to 1</title>');
    const other = comparison();
    other.results[4]!.plan.patch = 'block';
    const title = '<title>the layer before them is trained to stand in for layers 1 to 2</title>';
    expect(reportPage(other)).toContain(title);
    expect(page).not.toContain(title);
  });

  it('has no number that is none', () => {
    expect(page).not.toMatch(/NaN|undefined|Infinity|\[object/);
  });

  it('depends on its data alone', () => {
    expect(reportPage(comparison())).toBe(page);
  });
});

describe('other comparisons', () => {
  it('that have just begun have a page', () => {
    const begun = { ...comparison(), cureTokens: 0 };
    const one = reportPage({ ...begun, results: begun.results.slice(0, 1) });
    elementsOf(one);
    expect(one).not.toMatch(/NaN|undefined|Infinity|\[object|id="gates"|id="cure"/);
  });

  it('of deep models stay small', () => {
    const deep = reportPage(comparison(80));
    elementsOf(deep);
    expect(deep.length).toBeLessThan(3e6);
    expect(deep).not.toMatch(/NaN|undefined/);
  });

  it('of equal numbers have axes', () => {
    const flat = comparison();
    for (const { row, plan } of flat.results) {
      row.bytes = 1e6;
      row.perplexity.stored = 5;
      if (plan.scores) plan.scores = plan.scores.map(() => 0);
    }
    expect(reportPage(flat)).not.toMatch(/NaN|undefined|Infinity/);
  });
});
