import { byId, copy, element, iconButton } from './dom.js';
import { RichText } from './rich-text.js';

/**
 * @typedef {object} Entry one message as it is shown
 * @property {import('./request.js').Message} message
 * @property {HTMLElement} node
 */

/** A conversation. */
export class ChatView {
  #list = byId('messages', HTMLOListElement);
  #scroller = byId('scroller', HTMLElement);
  #prompt = byId('prompt', HTMLTextAreaElement);
  #onRegenerate;
  /** @type {Entry[]} */
  #entries = [];

  /** @param {() => void} onRegenerate */
  constructor(onRegenerate) {
    this.#onRegenerate = onRegenerate;
    this.#prompt.addEventListener('input', () => this.#fitPrompt());
  }

  get messages() {
    return this.#entries.map(({ message }) => message);
  }

  /** All that was said. */
  get text() {
    return this.messages.map(({ content }) => content).join('\n\n');
  }

  get isEmpty() {
    return this.#entries.length === 0;
  }

  get canRegenerate() {
    return this.#entries.at(-1)?.message.role === 'assistant';
  }

  /** The messages that pressing "Send" would send. */
  get drafted() {
    const content = this.#prompt.value.trim();
    return content === ''
      ? this.messages
      : [...this.messages, { role: /** @type {const} */ ('user'), content }];
  }

  get hasDraft() {
    return this.#prompt.value.trim() !== '';
  }

  /** @param {string} text */
  draft(text) {
    this.#prompt.value = text;
    this.#fitPrompt();
    this.focus();
  }

  focus() {
    this.#prompt.focus();
  }

  /** What is drafted becomes the user's next message. */
  send() {
    this.#add({ role: 'user', content: this.#prompt.value.trim() });
    this.#prompt.value = '';
    this.#fitPrompt();
  }

  /** Takes the last answer away, for another one. */
  dropAnswer() {
    if (this.canRegenerate) this.#entries.pop()?.node.remove();
  }

  clear() {
    this.#entries = [];
    this.#list.replaceChildren();
  }

  /** @param {string} model @returns {import('./output.js').Output} */
  begin(model) {
    const message = { role: /** @type {const} */ ('assistant'), content: '' };
    const entry = this.#add(message, model);
    entry.node.classList.add('coming');
    const rich = new RichText(/** @type {HTMLElement} */ (entry.node.querySelector('.body')));
    return {
      append: (text) => {
        message.content += text;
        const follows = this.#isAtEnd();
        rich.show(message.content);
        if (follows) this.#scrollToEnd();
      },
      end: (note) => {
        entry.node.classList.remove('coming');
        entry.node.append(this.#footer(message, note));
        this.#scrollToEnd();
      },
      discard: () => this.#takeBack(entry),
    };
  }

  /** The question of an answer that never came goes back to where it was written. @param {Entry} answer */
  #takeBack(answer) {
    answer.node.remove();
    this.#entries = this.#entries.filter((entry) => entry !== answer);
    const question = this.#entries.pop();
    if (!question) return;
    question.node.remove();
    this.draft([question.message.content, this.#prompt.value].filter((text) => text !== '').join('\n\n'));
  }

  /** @param {import('./request.js').Message} message @param {string} [model] */
  #add(message, model = '') {
    const body = element('div', { className: 'body' });
    const who = element('h3', { className: 'who' }, message.role === 'user' ? 'You' : model);
    const node = element('li', { className: `message ${message.role}` }, who, body);
    if (message.role === 'user') body.textContent = message.content;
    const entry = { message, node };
    this.#entries.push(entry);
    this.#list.append(node);
    this.#scrollToEnd();
    return entry;
  }

  /** @param {import('./request.js').Message} message @param {string} note */
  #footer(message, note) {
    const button = iconButton('copy', 'Copy the answer', () => copy(message.content, button));
    const again = iconButton('again', 'Regenerate', this.#onRegenerate);
    again.classList.add('again');
    return element('footer', {}, element('p', {}, note), button, again);
  }

  #isAtEnd() {
    const { scrollTop, clientHeight, scrollHeight } = this.#scroller;
    return scrollHeight - clientHeight - scrollTop < 60;
  }

  #scrollToEnd() {
    this.#scroller.scrollTop = this.#scroller.scrollHeight;
  }

  /** As high as its text, within what the style allows. */
  #fitPrompt() {
    this.#prompt.style.height = 'auto';
    this.#prompt.style.height = `${this.#prompt.scrollHeight + 2}px`;
  }
}
