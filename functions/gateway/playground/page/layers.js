import { byId, element, svg } from './dom.js';

/** Beyond this they go on in a further row, and arcs would be a tangle. */
const layersPerRow = 48;

/** Degrees between the hues of neighbouring groups: the golden angle keeps any number of them apart. */
const hueStep = 137.508;
const firstHue = 255;

/** Units of the arcs' drawing. */
const cell = 10;
const arcHeight = 40;

/** @typedef {import('./api.js').Layer} Layer */

/** The model's layers in the order of depth, those that share a block in one colour and joined by arcs. */
export class LayerPicture {
  #list = byId('layers', HTMLElement);
  #arcs = byId('arcs', SVGSVGElement);
  #caption = byId('layer-caption', HTMLElement);
  /** @type {readonly Layer[]} */
  #layers = [];
  #active = -1;

  constructor() {
    this.#list.addEventListener('keydown', (event) => this.#move(event));
    this.#list.addEventListener('focus', () => this.#activate(Math.max(0, this.#active)));
    this.#list.addEventListener('blur', () => this.#activate(-1));
    this.#list.addEventListener('pointerover', ({ target }) => {
      if (target instanceof HTMLElement && target.dataset.index) this.#activate(Number(target.dataset.index));
    });
    this.#list.addEventListener('pointerleave', () => {
      if (document.activeElement !== this.#list) this.#activate(-1);
    });
  }

  /** @param {readonly Layer[]} layers */
  show(layers) {
    this.#layers = layers;
    this.#active = -1;
    const hues = huesOf(layers);
    this.#list.style.setProperty('--columns', String(Math.min(layers.length, layersPerRow)));
    this.#list.replaceChildren(...layers.map((layer, i) => option(layer, i, hues.get(layer.block))));
    this.#list.ariaLabel = `Layers: ${summaryOf(layers)}`;
    this.#drawArcs(hues);
    this.#activate(-1);
  }

  /** Tokens pass through the layers. @param {boolean} running */
  set running(running) {
    this.#list.classList.toggle('running', running);
  }

  /** @param {ReadonlyMap<number, number>} hues */
  #drawArcs(hues) {
    const layers = this.#layers;
    const fits = layers.length <= layersPerRow;
    this.#arcs.setAttribute('viewBox', `0 0 ${layers.length * cell} ${arcHeight}`);
    this.#arcs.replaceChildren(...(fits ? layers.flatMap((layer, i) => arcTo(layers, layer, i, hues)) : []));
  }

  /** @param {number} index of the layer that is looked at; -1 for none */
  #activate(index) {
    this.#active = index;
    const layer = this.#layers[index];
    for (const [i, node] of [...this.#list.children].entries()) {
      const isOfGroup = layer !== undefined && this.#layers[i]?.block === layer.block;
      node.classList.toggle('faded', layer !== undefined && !isOfGroup);
      node.ariaSelected = String(i === index);
    }
    for (const arc of this.#arcs.children) {
      const isOfGroup = layer !== undefined && arc.getAttribute('data-block') === String(layer.block);
      arc.classList.toggle('faded', layer !== undefined && !isOfGroup);
    }
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

/** Blocks that several layers run have a colour; the others stay grey. @param {readonly Layer[]} layers */
function huesOf(layers) {
  const shared = [...new Set(layers.map(({ block }) => block))].filter(
    (block) => sharersOf(layers, block).length > 1,
  );
  return new Map(shared.map((block, i) => [block, (firstHue + i * hueStep) % 360]));
}

/** @param {Layer} layer @param {number} position @param {number | undefined} hue */
function option(layer, position, hue) {
  const node = element('div', { role: 'option', id: `layer-${position}`, ariaSelected: 'false' });
  node.dataset.index = String(position);
  node.ariaLabel = `Layer ${layer.index}, block ${layer.block}`;
  node.style.setProperty('--position', String(position));
  if (hue === undefined) node.classList.add('alone');
  else node.style.setProperty('--hue', hue.toFixed(1));
  return node;
}

/**
 * From a layer to the next one of its block.
 * @param {readonly Layer[]} layers
 * @param {Layer} layer
 * @param {number} i
 * @param {ReadonlyMap<number, number>} hues
 */
function arcTo(layers, { block }, i, hues) {
  const next = layers.findIndex((other, j) => j > i && other.block === block);
  const hue = hues.get(block);
  if (next < 0 || hue === undefined) return [];
  const [from, to] = [(i + 0.5) * cell, (next + 0.5) * cell];
  const height = Math.min(arcHeight - 2, 8 + (next - i) * 5);
  const d = `M${from},${arcHeight} C${from},${arcHeight - height * 1.3} ${to},${arcHeight - height * 1.3} ${to},${arcHeight}`;
  const arc = svg('path', { d, 'data-block': block });
  arc.style.setProperty('--hue', hue.toFixed(1));
  return [arc];
}

/** @param {readonly Layer[]} layers @param {number} block */
function sharersOf(layers, block) {
  return layers.filter((layer) => layer.block === block).map(({ index }) => index);
}

/** @param {readonly Layer[]} layers */
function summaryOf(layers) {
  const blocks = new Set(layers.map(({ block }) => block)).size;
  if (layers.length === 0) return '';
  const what = blocks === layers.length ? 'each with a block of its own' : `run ${blocks} distinct blocks`;
  return `${layers.length} layers, ${what}`;
}

/** @param {readonly Layer[]} layers @param {Layer} layer */
function captionOf(layers, { index, source, block, patch }) {
  const others = sharersOf(layers, block).filter((other) => other !== index);
  const list = new Intl.ListFormat('en', { type: 'conjunction' }).format(others.map(String));
  const sharing =
    others.length === 0 ? '' : `, shared with ${others.length === 1 ? 'layer' : 'layers'} ${list}`;
  const from = source === index ? '' : ` It was layer ${source}.`;
  return `Layer ${index} runs block ${block}${sharing}.${from}${patch ? ' A linear patch follows.' : ''}`;
}
