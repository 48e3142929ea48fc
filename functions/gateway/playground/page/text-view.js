import { byId, element } from './dom.js';
import { piecesOf, spansAfterEdit } from './spans.js';

/** A text that the model goes on from. What it wrote is marked, and can be edited like the rest. */
export class TextView {
  #text = byId('text', HTMLTextAreaElement);
  /** Behind the text, with the same letters in the same places: it has the marks and sets the height. */
  #mirror = byId('mirror', HTMLElement);
  #note = byId('text-note', HTMLElement);
  #scroller = byId('scroller', HTMLElement);
  /** @type {import('./spans.js').Span[]} */
  #written = [];
  #before = '';
  /** What the last answer went on from; undefined where the text was edited since. @type {string | undefined} */
  #lastPrompt;

  constructor() {
    this.#text.addEventListener('input', () => {
      this.#written = spansAfterEdit(this.#written, this.#before, this.#text.value);
      this.#lastPrompt = undefined;
      this.#note.textContent = '';
      this.#paint();
    });
  }

  get text() {
    return this.#text.value;
  }

  get isEmpty() {
    return this.#text.value === '';
  }

  get canRegenerate() {
    return this.#lastPrompt !== undefined;
  }

  /** @param {string} text */
  draft(text) {
    this.#replace(text, []);
    this.focus();
  }

  focus() {
    this.#text.focus();
  }

  clear() {
    this.draft('');
  }

  /** Takes the last answer away, for another one. */
  dropAnswer() {
    const length = this.#lastPrompt?.length;
    if (length === undefined) return;
    this.#replace(
      this.#text.value.slice(0, length),
      this.#written.filter(({ start }) => start < length),
    );
  }

  /** @returns {import('./output.js').Output} */
  begin() {
    const prompt = this.#text.value;
    const span = { start: prompt.length, end: prompt.length };
    this.#note.textContent = '';
    this.#text.readOnly = true;
    const written = [...this.#written, span];
    return {
      append: (text) => {
        const follows = this.#isAtEnd();
        span.end += text.length;
        this.#replace(this.#text.value + text, written);
        if (follows) this.#scrollToEnd();
      },
      end: (note) => {
        const follows = this.#isAtEnd();
        this.#text.readOnly = false;
        this.#lastPrompt = prompt;
        this.#note.textContent = note;
        if (follows) this.#scrollToEnd();
      },
      discard: () => {
        this.#text.readOnly = false;
      },
    };
  }

  /** @param {string} text @param {import('./spans.js').Span[]} written */
  #replace(text, written) {
    this.#text.value = text;
    this.#written = written;
    this.#lastPrompt = undefined;
    this.#note.textContent = '';
    this.#paint();
  }

  #paint() {
    this.#before = this.#text.value;
    const pieces = piecesOf(this.#before, this.#written).map(({ text, isMarked }) =>
      isMarked ? element('mark', {}, text) : text,
    );
    // A last line that is empty has no height of its own.
    this.#mirror.replaceChildren(...pieces, '\u200b');
  }

  #scrollToEnd() {
    this.#scroller.scrollTop = this.#scroller.scrollHeight;
  }

  #isAtEnd() {
    const { scrollTop, clientHeight, scrollHeight } = this.#scroller;
    return scrollHeight - clientHeight - scrollTop < 60;
  }
}
