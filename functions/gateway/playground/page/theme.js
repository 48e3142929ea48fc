import { keep } from './kept.js';

/** @typedef {'system' | 'light' | 'dark'} Theme */

/**
 * What each is called, and what follows it.
 * @type {Record<Theme, {label: string, next: Theme}>}
 */
const themes = {
  system: { label: "as the system's", next: 'dark' },
  dark: { label: 'dark', next: 'light' },
  light: { label: 'light', next: 'system' },
};

/** The buttons that go through the themes. What was chosen is kept; `first-paint.js` applies it. */
export function themeSwitch() {
  const buttons = /** @type {NodeListOf<HTMLButtonElement>} */ (document.querySelectorAll('button.theme'));
  const root = document.documentElement;

  /** @param {Theme} theme */
  const apply = (theme) => {
    if (theme === 'system') delete root.dataset.theme;
    else root.dataset.theme = theme;
    for (const button of buttons) {
      button.title = `Colours: ${themes[theme].label}`;
      button.ariaLabel = button.title;
      button.querySelector('use')?.setAttribute('href', `#icon-${theme}`);
    }
  };
  const current = () => /** @type {Theme} */ (root.dataset.theme ?? 'system');
  apply(current());
  const goOn = () => {
    const { next } = themes[current()];
    keep('localStorage', 'theme', next === 'system' ? undefined : next);
    apply(next);
  };
  for (const button of buttons) button.addEventListener('click', goOn);
}
