import { byId, element } from './dom.js';

/** The models of the server, and what is known of the chosen one. */
export class ModelPicker {
  #api;
  #select = byId('model', HTMLSelectElement);
  /** @type {import('./api.js').ModelDetails | undefined} */
  details;

  /** @param {import('./api.js').Api} api @param {() => void} onChange */
  constructor(api, onChange) {
    this.#api = api;
    this.#select.addEventListener('change', () => {
      this.details = undefined;
      onChange();
    });
  }

  /** What requests say; empty where there is no model. */
  get id() {
    return this.#select.value;
  }

  /** The name behind an alias: metrics go by that. */
  get name() {
    return this.#select.selectedOptions[0]?.dataset.name ?? this.id;
  }

  set disabled(/** @type {boolean} */ disabled) {
    this.#select.disabled = disabled;
  }

  /** Asks which models there are. @throws {import('./api.js').ApiFailure} and has none then */
  async list() {
    this.#select.replaceChildren();
    this.details = undefined;
    for (const { id, root = id } of await this.#api.models()) {
      const option = element('option', { value: id }, id);
      option.dataset.name = root;
      this.#select.append(option);
    }
  }

  /** Asks about the chosen model. @throws {import('./api.js').ApiFailure} */
  async describe() {
    this.details = this.id === '' ? undefined : await this.#api.details(this.id);
  }
}
