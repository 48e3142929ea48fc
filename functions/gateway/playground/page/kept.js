/**
 * What the page remembers. A browser that keeps nothing for pages refuses even to be asked: then nothing is
 * remembered, and all else works.
 */

/**
 * @param {'localStorage' | 'sessionStorage'} where in this browser, or in this tab alone
 * @param {string} name
 * @returns {string | undefined}
 */
export function kept(where, name) {
  try {
    return window[where].getItem(`foldgate.${name}`) ?? undefined;
  } catch {
    return undefined;
  }
}

/**
 * @param {'localStorage' | 'sessionStorage'} where
 * @param {string} name
 * @param {string | undefined} value undefined to forget it
 */
export function keep(where, name, value) {
  try {
    if (value === undefined) window[where].removeItem(`foldgate.${name}`);
    else window[where].setItem(`foldgate.${name}`, value);
  } catch {
    // It is remembered until the page goes.
  }
}
