/** @param {number} bytes */
export function bytesText(bytes) {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  const power = Math.min(units.length - 1, Math.max(0, Math.floor(Math.log10(bytes) / 3)));
  return `${threeDigits(bytes / 1000 ** power)} ${units[power]}`;
}

/** 1234567 -> `1.23 M` @param {number} count */
export function countText(count) {
  const units = ['', ' k', ' M', ' B', ' T'];
  const power = Math.min(units.length - 1, Math.max(0, Math.floor(Math.log10(count) / 3)));
  return power === 0 ? String(count) : threeDigits(count / 1000 ** power) + units[power];
}

/** @param {number} ms */
export function durationText(ms) {
  return ms < 1000 ? `${threeDigits(ms)} ms` : `${threeDigits(ms / 1000)} s`;
}

/** 100% is all of it, not almost. @param {number} share */
export function percentText(share) {
  return `${Math.floor(100 * share)}%`;
}

/** As many decimals as leave three digits, at most one. @param {number} value */
export function threeDigits(value) {
  return value < 10 ? value.toFixed(1).replace(/\.0$/, '') : String(Math.round(value));
}
