import { byId, element } from './dom.js';

/** Kept for readers that are slower than the model. */
const mostParagraphs = 8;

/** Tells screen readers what comes, sentence by sentence: token by token would be noise. */
export class Announcer {
  #place = byId('announcements', HTMLElement);
  #pending = '';

  /** @param {string} text */
  add(text) {
    this.#pending += text;
    const end = /^[\s\S]*(?:[.!?:;…]["'”’)]?\s|\n)/.exec(this.#pending);
    if (!end) return;
    this.#pending = this.#pending.slice(end[0].length);
    this.say(end[0]);
  }

  /** What is left of an answer. */
  end() {
    this.say(this.#pending);
    this.#pending = '';
  }

  /** @param {string} text */
  say(text) {
    if (text.trim() === '') return;
    this.#place.append(element('p', {}, text.trim()));
    while (this.#place.childElementCount > mostParagraphs) this.#place.firstElementChild?.remove();
  }
}
