/**
 * @typedef {object} Slider
 * @property {string} name the API's
 * @property {string} label
 * @property {string} hint
 * @property {number} min
 * @property {number} max what the slider reaches; typed numbers may go up to `limit`
 * @property {number} [limit]
 * @property {number} step
 * @property {number} initial
 */

/** @type {readonly Slider[]} */
export const sliders = [
  {
    name: 'temperature',
    label: 'Temperature',
    hint: '0 always takes the likeliest token',
    min: 0,
    max: 2,
    step: 0.05,
    initial: 0.7,
  },
  {
    name: 'top_p',
    label: 'Top p',
    hint: 'The likeliest tokens, up to this sum',
    min: 0,
    max: 1,
    step: 0.01,
    initial: 1,
  },
  {
    name: 'top_k',
    label: 'Top k',
    hint: 'Only the k likeliest tokens; 0 is all',
    min: 0,
    max: 100,
    limit: 100_000,
    step: 1,
    initial: 0,
  },
  {
    name: 'min_p',
    label: 'Min p',
    hint: 'At least this share of the likeliest one',
    min: 0,
    max: 0.5,
    limit: 1,
    step: 0.01,
    initial: 0.05,
  },
  {
    name: 'max_tokens',
    label: 'Max tokens',
    hint: 'The answer ends after so many',
    min: 1,
    max: 2048,
    limit: 1_000_000,
    step: 1,
    initial: 256,
  },
];
