import { byId, element } from './dom.js';
import { keep, kept } from './kept.js';
import { sliders } from './sliders.js';

/** OpenAI's limit, and this server's. */
const maxStops = 4;

/**
 * @typedef {Record<string, number>} Numbers
 * @typedef {{numbers: Numbers, seed: number | undefined, stop: string[], system: string}} Settings
 */

/** The form with everything a request says beside its text; kept in this browser. */
export class SettingsForm {
  #seed = byId('seed', HTMLInputElement);
  #stop = byId('stop', HTMLTextAreaElement);
  #system = byId('system', HTMLTextAreaElement);
  /** @type {Map<string, {range: HTMLInputElement, number: HTMLInputElement, slider: import('./sliders.js').Slider}>} */
  #controls = new Map();

  constructor() {
    const place = byId('sliders', HTMLElement);
    for (const slider of sliders) place.append(this.#sliderRow(slider));
    this.#restore();
    const form = byId('settings', HTMLFormElement);
    form.addEventListener('submit', (event) => event.preventDefault());
    form.addEventListener('input', () => this.#save());
    byId('reset', HTMLButtonElement).addEventListener('click', () => {
      this.#fill({});
      this.#save();
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

  /** @param {import('./sliders.js').Slider} slider */
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
    keep('localStorage', 'settings', JSON.stringify({ ...numbers, ...texts }));
  }

  #restore() {
    try {
      this.#fill(JSON.parse(kept('localStorage', 'settings') ?? '{}'));
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
