import { byId, copy } from './dom.js';
import { curlOf } from './request.js';

/** The request that the page would send now, as a command for the shell. */
export class CurlDialog {
  #dialog = byId('curl', HTMLDialogElement);
  #command = byId('curl-command', HTMLTextAreaElement);
  #api;
  #request;

  /** @param {import('./api.js').Api} api @param {() => import('./request.js').ApiRequest} request */
  constructor(api, request) {
    this.#api = api;
    this.#request = request;
    const button = byId('curl-copy', HTMLButtonElement);
    button.addEventListener('click', () => void copy(this.#command.value, button));
    byId('curl-close', HTMLButtonElement).addEventListener('click', () => this.#dialog.close());
    // A click beside it.
    this.#dialog.addEventListener('click', ({ target }) => target === this.#dialog && this.#dialog.close());
  }

  show() {
    this.#command.value = curlOf(this.#api.base, this.#request(), this.#api.key !== '');
    this.#dialog.showModal();
  }
}
