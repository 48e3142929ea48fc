import { byId, element } from './dom.js';
import { LayerPicture } from './layers.js';
import { bytesText, countText, percentText } from './numbers.js';

/** What the server calls a model's state, in words for people. */
const states = new Map([
  ['unloaded', 'loads with the first request'],
  ['loading', 'loading'],
  ['evicted', 'loads again with the next request'],
  ['failed', 'could not be loaded'],
  ['closed', 'shutting down'],
]);

/** What the model consists of: its layers as a picture, and its sizes. */
export class ModelPanel {
  picture = new LayerPicture();
  #figure = byId('layer-figure', HTMLElement);
  #facts = byId('facts', HTMLElement);

  /** @param {import('./api.js').ModelDetails | undefined} details */
  show(details) {
    const layers = details?.layers ?? [];
    this.#figure.hidden = layers.length === 0;
    this.picture.show(layers);
    byId('state', HTMLElement).textContent = states.get(details?.state ?? '') ?? '';
    const facts = details ? factsOf(details) : [];
    this.#facts.replaceChildren(
      ...facts.map(([name, value, note]) =>
        element(
          'div',
          {},
          element('dt', {}, name),
          element('dd', {}, value, ...(note ? [element('span', { className: 'soft' }, ` ${note}`)] : [])),
        ),
      ),
    );
  }
}

/** @param {import('./api.js').ModelDetails} details @returns {[name: string, value: string, note?: string][]} */
function factsOf({ parameters, bytes, quantization, context_length }) {
  /** @type {[string, string, string?][]} */
  const facts = [];
  if (parameters) {
    const { folded, original } = parameters;
    const saved = 1 - folded / original;
    facts.push(['Parameters', countText(folded), saved > 0.005 ? `−${percentText(saved)}` : undefined]);
  }
  if (bytes !== undefined) facts.push(['Size', bytesText(bytes)]);
  if (quantization) facts.push(['Weights', weightsText(quantization)]);
  if (context_length !== undefined)
    facts.push(['Context', `${context_length.toLocaleString('en')}`, 'tokens']);
  return facts;
}

/** @param {Readonly<Record<string, {bits: number}>>} quantization */
function weightsText(quantization) {
  const bits = [...new Set(Object.values(quantization).map((precision) => precision.bits))].sort(
    (a, b) => a - b,
  );
  return bits.map((count) => (count === 32 ? 'float32' : `int${count}`)).join(' + ');
}
