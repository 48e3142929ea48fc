import { byId, element } from './dom.js';

/**
 * @typedef {object} Slider
 * @property {string} name the API's
 * @property {string} label
 * @property {string} hint
 * @property {number} min
 * @property {number} max what the slider reaches; typed numbers may go up to `limit`
 * @property {number} [limit]
 * @property {number} step
 * @property {number} initial
 * @property {number} off what changes nothing, and is not sent
 */

/** @type {readonly Slider[]} */
export const sliders = [
  {
    name: 'temperature',
    label: 'Temperature',
    hint: '0 always takes the likeliest token',
    min: 0,
    max: 2,
    step: 0.05,
    initial: 0.7,
    off: 1,
  },
  {
    name: 'top_p',
    label: 'Top p',
    hint: 'The likeliest tokens, up to this sum',
    min: 0,
    max: 1,
    step: 0.01,
    initial: 1,
    off: 1,
  },
  {
    name: 'top_k',
    label: 'Top k',
    hint: 'Only the k likeliest tokens; 0 is all',
    min: 0,
    max: 100,
    limit: 100_000,
    step: 1,
    initial: 0,
    off: 0,
  },
  {
    name: 'min_p',
    label: 'Min p',
    hint: 'At least this share of the likeliest one',
    min: 0,
    max: 0.5,
    limit: 1,
    step: 0.01,
    initial: 0.05,
    off: 0,
  },
  {
    name: 'max_tokens',
    label: 'Max tokens',
    hint: 'The answer ends after so many',
    min: 1,
    max: 2048,
    limit: 1_000_000,
    step: 1,
    initial: 256,
    off: -1,
  },
];

/** OpenAI's limit, and this server's. */
const maxStops = 4;

const storageName = 'foldgate.settings';

/**
 * @typedef {Record<string, number>} Numbers
 * @typedef {{numbers: Numbers, seed: number | undefined, stop: string[], system: string}} Settings
 */

/** The form with everything a request says beside its text; kept in this browser. */
export class SettingsForm {
  #seed = byId('seed', HTMLInputElement);
  #stop = byId('stop', HTMLTextAreaElement);
  #system = byId('system', HTMLTextAreaElement);
  /** @type {Map<string, {range: HTMLInputElement, number: HTMLInputElement, slider: Slider}>} */
  #controls = new Map();

  /** @param {() => void} onChange */
  constructor(onChange) {
    const place = byId('sliders', HTMLElement);
    for (const slider of sliders) place.append(this.#sliderRow(slider));
    this.#restore();
    const form = byId('settings', HTMLFormElement);
    form.addEventListener('submit', (event) => event.preventDefault());
    form.addEventListener('input', () => {
      this.#save();
      onChange();
    });
    byId('reset', HTMLButtonElement).addEventListener('click', () => {
      this.#fill({});
      this.#save();
      onChange();
    });
  }

  /** @returns {Settings} */
  get values() {
    const numbers = Object.fromEntries(
      [...this.#controls].map(([name, { number, slider }]) => [
        name,
        numberOf(number.value) ?? slider.initial,
      ]),
    );
    return {
      numbers,
      seed: numberOf(this.#seed.value),
      stop: stopsOf(this.#stop.value),
      system: this.#system.value,
    };
  }

  /** The model's context is the most that an answer can have. @param {number} tokens */
  limitTokens(tokens) {
    const control = this.#controls.get('max_tokens');
    if (control) {
      control.range.max = String(Math.min(tokens, control.slider.max));
      move(control.range, control.number.value);
    }
  }

  /** @param {Slider} slider */
  #sliderRow(slider) {
    const { name, label, hint, min, max, step, limit = max } = slider;
    const hintId = `${name}-hint`;
    const range = element('input', { type: 'range', min: `${min}`, max: `${max}`, step: `${step}` });
    range.ariaLabel = label;
    const number = element('input', {
      type: 'number',
      id: name,
      min: `${min}`,
      max: `${limit}`,
      step: 'any',
    });
    for (const input of [range, number]) input.setAttribute('aria-describedby', hintId);
    range.addEventListener('input', () => {
      number.value = range.value;
      paint(range);
    });
    number.addEventListener('input', () => move(range, number.value));
    this.#controls.set(name, { range, number, slider });
    return element(
      'div',
      { className: 'slider' },
      element('label', { htmlFor: name }, label),
      number,
      range,
      element('p', { className: 'hint', id: hintId }, hint),
    );
  }

  #save() {
    const { numbers } = this.values;
    const texts = { seed: this.#seed.value, stop: this.#stop.value, system: this.#system.value };
    localStorage.setItem(storageName, JSON.stringify({ ...numbers, ...texts }));
  }

  #restore() {
    try {
      this.#fill(JSON.parse(localStorage.getItem(storageName) ?? '{}'));
    } catch {
      this.#fill({}); // kept by another version
    }
  }

  /** @param {Record<string, unknown>} kept */
  #fill(kept) {
    for (const [name, { range, number, slider }] of this.#controls) {
      number.value = String(typeof kept[name] === 'number' ? kept[name] : slider.initial);
      move(range, number.value);
    }
    this.#seed.value = String(kept.seed ?? '');
    this.#stop.value = String(kept.stop ?? '');
    this.#system.value = String(kept.system ?? '');
  }
}

/** @param {HTMLInputElement} range @param {string} value */
function move(range, value) {
  range.value = value;
  paint(range);
}

/** The part of the track that is behind the thumb has another colour. @param {HTMLInputElement} range */
function paint(range) {
  const [min, max] = [Number(range.min), Number(range.max)];
  range.style.setProperty('--share', String((Number(range.value) - min) / (max - min)));
}

/** @param {string} text */
function numberOf(text) {
  return text.trim() === '' || Number.isNaN(Number(text)) ? undefined : Number(text);
}

/** One a line; `\n` stands for a line break, since a line cannot hold one. @param {string} text */
function stopsOf(text) {
  const lines = text.split('\n').filter((line) => line !== '');
  return lines.slice(0, maxStops).map((line) => line.replaceAll('\\n', '\n').replaceAll('\\t', '\t'));
}
