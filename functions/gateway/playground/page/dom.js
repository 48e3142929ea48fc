/**
 * The element of the page with this id.
 * @template {Element} T
 * @param {string} id
 * @param {new () => T} kind
 * @returns {T}
 */
export function byId(id, kind) {
  const found = document.getElementById(id);
  if (!(found instanceof kind)) throw new TypeError(`#${id} should be a ${kind.name}.`);
  return found;
}

/**
 * A new element. Text becomes text nodes, never markup.
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Partial<HTMLElementTagNameMap[K]>} [properties]
 * @param {...(Node | string)} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  Object.assign(made, properties);
  made.append(...children);
  return made;
}

const svgSpace = 'http://www.w3.org/2000/svg';

/**
 * @template {keyof SVGElementTagNameMap} K
 * @param {K} tag
 * @param {Readonly<Record<string, string | number>>} [attributes]
 * @param {...Node} children
 * @returns {SVGElementTagNameMap[K]}
 */
export function svg(tag, attributes = {}, ...children) {
  const made = document.createElementNS(svgSpace, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, String(value));
  made.append(...children);
  return made;
}

/** One of the pictures at the end of page.html. @param {string} name */
function icon(name) {
  return svg('svg', { class: 'icon', 'aria-hidden': 'true' }, svg('use', { href: `#icon-${name}` }));
}

/**
 * A button of a picture and its name.
 * @param {string} picture
 * @param {string} label
 * @param {() => void} onClick
 */
export function iconButton(picture, label, onClick) {
  const button = element('button', { type: 'button', className: 'quiet', title: label, ariaLabel: label });
  button.append(icon(picture));
  button.addEventListener('click', onClick);
  return button;
}

/**
 * Copies, and says so on the button for a moment.
 * @param {string} text
 * @param {HTMLButtonElement} button
 */
export async function copy(text, button) {
  const use = button.querySelector('use');
  const done = await toClipboard(text);
  use?.setAttribute('href', done ? '#icon-done' : '#icon-problem');
  setTimeout(() => use?.setAttribute('href', '#icon-copy'), 1500);
}

/** @param {string} text @returns {Promise<boolean>} whether it is there */
async function toClipboard(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Browsers have it only for pages that came by TLS or from this machine; what is older works everywhere.
    const field = element('textarea', { value: text, className: 'hidden' });
    (document.querySelector('dialog[open]') ?? document.body).append(field);
    const focused = document.activeElement;
    field.select();
    const done = document.execCommand('copy');
    field.remove();
    if (focused instanceof HTMLElement) focused.focus();
    return done;
  }
}
