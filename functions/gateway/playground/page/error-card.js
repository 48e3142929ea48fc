import { ApiFailure } from './api.js';
import { byId, element } from './dom.js';

/** What went wrong, in the server's words. */
export class ErrorCard {
  #card = byId('error', HTMLElement);

  /** @param {unknown} error */
  show(error) {
    const message = error instanceof Error ? error.message : String(error);
    const details = error instanceof ApiFailure ? detailsOf(error) : '';
    this.#card.replaceChildren(
      element('p', {}, message),
      ...(details === '' ? [] : [element('p', { className: 'details' }, details)]),
    );
    this.#card.hidden = false;
    this.#card.scrollIntoView({ block: 'nearest' });
  }

  hide() {
    this.#card.hidden = true;
    this.#card.replaceChildren();
  }
}

/** @param {ApiFailure} failure */
function detailsOf({ status, code, requestId }) {
  const parts = [status && `status ${status}`, code, requestId && `request ${requestId}`];
  return parts.filter(Boolean).join(' · ');
}
