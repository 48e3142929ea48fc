import { copy, element, iconButton } from './dom.js';

/**
 * @typedef {{kind: 'text' | 'code', language: string, text: string}} Block
 */

/**
 * Splits a text at its code fences. A fence that has not ended yet, as in a stream, goes to the end.
 * @param {string} text
 * @returns {Block[]}
 */
export function blocksOf(text) {
  /** @type {Block[]} */
  const blocks = [];
  /** @type {Block} */
  let block = { kind: 'text', language: '', text: '' };
  for (const line of text.split('\n')) {
    const fence = /^\s{0,3}```([^`]*)$/.exec(line);
    if (fence) {
      if (block.text !== '' || block.kind === 'code') blocks.push(block);
      const kind = block.kind === 'text' ? 'code' : 'text';
      block = { kind, language: kind === 'code' ? (fence[1] ?? '').trim() : '', text: '' };
    } else block.text += `${line}\n`;
  }
  // A fence that nothing follows, or nothing yet, is no box.
  if (block.text.trim() !== '') blocks.push(block);
  return blocks;
}

/** Shows a text that grows: blocks that did not change stay as they are, and so does what is selected in them. */
export class RichText {
  #place;
  /** @type {{block: Block, node: HTMLElement, content: HTMLElement}[]} */
  #shown = [];

  /** @param {HTMLElement} place */
  constructor(place) {
    this.#place = place;
  }

  /** @param {string} text */
  show(text) {
    const blocks = blocksOf(text);
    for (const [i, block] of blocks.entries()) {
      const before = this.#shown[i];
      if (before?.block.kind === block.kind && before.block.language === block.language) {
        if (before.block.text !== block.text) fill(before.content, block);
        before.block = block;
      } else {
        this.#drop(i);
        this.#add(block);
      }
    }
    this.#drop(blocks.length);
  }

  /** @param {number} from */
  #drop(from) {
    for (const { node } of this.#shown.splice(from)) node.remove();
  }

  /** @param {Block} block */
  #add(block) {
    const content = element(block.kind === 'code' ? 'code' : 'p');
    fill(content, block);
    const node = block.kind === 'code' ? codeBox(block.language, content) : content;
    this.#place.append(node);
    this.#shown.push({ block, node, content });
  }
}

/** @param {string} language @param {HTMLElement} content */
function codeBox(language, content) {
  const button = iconButton('copy', 'Copy the code', () => copy(content.textContent ?? '', button));
  const label = language === '' ? 'code' : language;
  return element(
    'figure',
    { className: 'code' },
    element('figcaption', {}, element('span', {}, label), button),
    element('pre', { tabIndex: 0, role: 'group', ariaLabel: `Code: ${label}` }, content),
  );
}

/** @param {HTMLElement} content @param {Block} block */
function fill(content, { kind, text }) {
  const shown = text.replace(/\n$/, '');
  if (kind === 'code') content.textContent = shown;
  else content.replaceChildren(...inline(shown.trim()));
}

/** `code` and **bold**; all else is text. @param {string} text */
function inline(text) {
  return text.split(/(`[^`\n]+`|\*\*[^*\n]+\*\*)/).map((part) => {
    if (/^`.+`$/.test(part)) return element('code', {}, part.slice(1, -1));
    if (/^\*\*.+\*\*$/.test(part)) return element('strong', {}, part.slice(2, -2));
    return part;
  });
}
