import { byId, svg } from './dom.js';

/** Degrees between the hues of neighbouring groups: the golden angle keeps any number of them apart. */
const hueStep = 137.508;
const firstHue = 255;

/** The drawing, in units of its own: layers above, the blocks they run below, ribbons between. */
const width = 300;
const rowHeight = 30;
const ribbonHeight = 46;
/** Between cells, as a share of a cell. */
const gapShare = 0.16;
const roundest = 4;

/** @typedef {import('./api.js').Layer} Layer */

/** The model's layers in the order of depth, and the blocks that are stored: layers that share one have its colour. */
export class LayerPicture {
  #list = byId('layers', HTMLElement);
  #drawing = byId('drawing', SVGSVGElement);
  #caption = byId('layer-caption', HTMLElement);
  /** @type {readonly Layer[]} */
  #layers = [];
  #active = -1;

  constructor() {
    const list = this.#list;
    this.#drawing.setAttribute('viewBox', `0 0 ${width} ${2 * rowHeight + ribbonHeight}`);
    list.addEventListener('keydown', (event) => this.#move(event));
    list.addEventListener('focus', () => this.#activate(Math.max(0, this.#active)));
    list.addEventListener('blur', () => this.#activate(-1));
    list.addEventListener('pointerover', ({ target }) => {
      const layer = target instanceof Element && target.getAttribute('data-layer');
      if (layer) this.#activate(Number(layer));
    });
    list.addEventListener('pointerleave', () => {
      if (document.activeElement !== list) this.#activate(-1);
    });
  }

  /** @param {readonly Layer[]} layers */
  show(layers) {
    this.#layers = layers;
    this.#drawing.replaceChildren(...(layers.length > 0 ? drawingOf(layers) : []));
    this.#list.ariaLabel = `Layers: ${summaryOf(layers)}`;
    this.#activate(-1);
  }

  /** Tokens pass through the layers. @param {boolean} running */
  set running(running) {
    this.#list.classList.toggle('running', running);
  }

  /** @param {number} index of the layer that is looked at; -1 for none */
  #activate(index) {
    this.#active = index;
    const layer = this.#layers[index];
    this.#list.classList.toggle('looked-at', layer !== undefined);
    for (const node of this.#drawing.querySelectorAll('[data-block]')) {
      node.classList.toggle('in-group', node.getAttribute('data-block') === String(layer?.block));
    }
    for (const [i, node] of [...this.#drawing.querySelectorAll('[role=option]')].entries())
      node.ariaSelected = String(i === index);
    if (layer) this.#list.setAttribute('aria-activedescendant', `layer-${index}`);
    else this.#list.removeAttribute('aria-activedescendant');
    this.#caption.textContent = layer ? captionOf(this.#layers, layer) : summaryOf(this.#layers);
  }

  /** @param {KeyboardEvent} event */
  #move(event) {
    const last = this.#layers.length - 1;
    /** @type {Readonly<Record<string, number>>} */
    const targets = {
      ArrowRight: this.#active + 1,
      ArrowDown: this.#active + 1,
      ArrowLeft: this.#active - 1,
      ArrowUp: this.#active - 1,
      Home: 0,
      End: last,
    };
    const target = targets[event.key];
    if (target === undefined) return;
    event.preventDefault();
    this.#activate(Math.min(last, Math.max(0, target)));
  }
}

/** @param {readonly Layer[]} layers */
function drawingOf(layers) {
  const blocks = [...new Set(layers.map(({ block }) => block))].sort((a, b) => a - b);
  const hues = huesOf(layers);
  const depth = Math.max(...layers.map(({ source }) => source)) + 1;
  const step = width / depth;
  const cell = step * (1 - gapShare);
  /** Blocks are as wide as layers, so that the lower row is shorter by what sharing saves. */
  const left = (width - blocks.length * step) / 2;
  const layerX = (/** @type {Layer} */ { source }) => source * step + (step - cell) / 2;
  const blockX = (/** @type {number} */ block) => left + blocks.indexOf(block) * step + (step - cell) / 2;
  const box = { width: cell, height: rowHeight, rx: Math.min(roundest, cell / 3) };

  const ribbons = layers.map((layer, i) => {
    const d = ribbon(layerX(layer), blockX(layer.block), cell);
    return coloured(svg('path', { class: 'ribbon', d, 'data-layer': i, 'data-block': layer.block }), hues);
  });
  const gone = missingOf(layers).map((source) =>
    svg('rect', { class: 'gone', ...box, x: source * step + (step - cell) / 2, y: 0 }),
  );
  const halved = layers
    .filter(({ half }) => half)
    .map((layer) => svg('rect', { class: 'gone', ...box, x: layerX(layer), y: 0 }));
  const cells = layers.map((layer, i) => {
    const node = svg('rect', {
      ...{ class: 'layer', id: `layer-${i}`, role: 'option', 'aria-selected': 'false' },
      ...{ 'aria-label': `Layer ${layer.index}, block ${layer.block}`, 'data-layer': i },
      ...{ ...box, ...placeOf(layer), x: layerX(layer), 'data-block': layer.block },
    });
    node.style.setProperty('--position', String(i / layers.length));
    return coloured(node, hues);
  });
  const stored = blocks.map((block) => {
    const first = layers.findIndex((layer) => layer.block === block);
    const place = { x: blockX(block), y: rowHeight + ribbonHeight };
    return coloured(
      svg('rect', { class: 'block', ...box, ...place, 'data-layer': first, 'data-block': block }),
      hues,
    );
  });
  return [...ribbons, ...gone, ...halved, ...cells, ...stored];
}

/** Attention lies above, as it comes first; where one half runs alone, the other's place stays empty. @param {Layer} layer */
function placeOf({ half }) {
  return { y: half === 'mlp' ? rowHeight / 2 : 0, height: half ? rowHeight / 2 : rowHeight };
}

/** From a layer down to its block. @param {number} from @param {number} to @param {number} cell */
function ribbon(from, to, cell) {
  const [top, bottom] = [rowHeight, rowHeight + ribbonHeight];
  const middle = (top + bottom) / 2;
  const number = (/** @type {number} */ value) => value.toFixed(2);
  const [a, b, c, d] = [from, to, to + cell, from + cell].map(number);
  return `M${a},${top} C${a},${middle} ${b},${middle} ${b},${bottom} H${c} C${c},${middle} ${d},${middle} ${d},${top} Z`;
}

/**
 * Blocks that several layers run have a colour; the others stay grey.
 * @template {SVGElement} T
 * @param {T} node
 * @param {ReadonlyMap<number, number>} hues
 */
function coloured(node, hues) {
  const hue = hues.get(Number(node.getAttribute('data-block')));
  if (hue === undefined) node.classList.add('alone');
  else node.style.setProperty('--hue', hue.toFixed(1));
  return node;
}

/** @param {readonly Layer[]} layers */
function huesOf(layers) {
  const shared = [...new Set(layers.map(({ block }) => block))].filter(
    (block) => sharersOf(layers, block).length > 1,
  );
  return new Map(shared.map((block, i) => [block, (firstHue + i * hueStep) % 360]));
}

/** @param {readonly Layer[]} layers @param {number} block */
function sharersOf(layers, block) {
  return layers.filter((layer) => layer.block === block).map(({ index }) => index);
}

/** The checkpoint's layers that are gone, as far as later ones tell of them. @param {readonly Layer[]} layers */
function missingOf(layers) {
  const sources = new Set(layers.map(({ source }) => source));
  return Array.from({ length: Math.max(...sources) }, (_, source) => source).filter(
    (source) => !sources.has(source),
  );
}

/** @param {readonly Layer[]} layers */
export function summaryOf(layers) {
  if (layers.length === 0) return '';
  const blocks = new Set(layers.map(({ block }) => block)).size;
  const removed = missingOf(layers).length;
  const what = blocks === layers.length ? 'each with a block of its own' : `sharing ${blocks} blocks`;
  const alone = Object.entries(halfNames).map(([half, name]) => {
    const count = layers.filter((layer) => layer.half === half).length;
    return count > 0 ? `; ${count} of ${name} alone` : '';
  });
  return `${layers.length} layers, ${what}${removed > 0 ? `; ${removed} removed` : ''}${alone.join('')}`;
}

/** @type {Readonly<Record<'attention' | 'mlp', string>>} */
const halfNames = { attention: 'attention', mlp: 'MLP' };

/** @param {readonly Layer[]} layers @param {Layer} layer */
function captionOf(layers, { index, source, block, half, patch }) {
  const others = sharersOf(layers, block).filter((other) => other !== index);
  const list = new Intl.ListFormat('en', { type: 'conjunction' }).format(others.map(String));
  const sharing =
    others.length === 0 ? '' : `, as ${others.length === 1 ? 'does layer' : 'do layers'} ${list}`;
  const from = source === index ? '' : ` (layer ${source} of the checkpoint)`;
  const part = half ? `the ${halfNames[half]} of ` : '';
  return `Layer ${index}${from} runs ${part}block ${block}${sharing}${patch ? '; a linear patch follows' : ''}`;
}
