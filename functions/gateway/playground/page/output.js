import { durationText, threeDigits } from './numbers.js';

/**
 * Where an answer goes while it comes.
 * @typedef {object} Output
 * @property {(text: string) => void} append
 * @property {(note: string) => void} end with what is to be said about the answer
 * @property {() => void} discard there was no text at all: as if it had not been asked for
 */

/** Milliseconds. A model that is there already takes less. */
export const leastLoadMs = 10;

/** What is said below an answer. @param {import('./measurement.js').Measurement} measurement @param {boolean} stopped */
export function noteOf({ tokens, finish, tokensPerSecond, firstTokenMs, loadMs }, stopped) {
  if (tokens === 0 && !stopped) return 'The model has nothing to add: it ends the text here.';
  const parts = [`${tokens} ${tokens === 1 ? 'token' : 'tokens'}`];
  if (tokensPerSecond !== undefined) parts.push(`${threeDigits(tokensPerSecond)} tokens/s`);
  if (firstTokenMs !== undefined) parts.push(`first after ${durationText(firstTokenMs)}`);
  if (loadMs >= leastLoadMs) parts.push(`${durationText(loadMs)} of it to load the model`);
  if (stopped) parts.push('stopped');
  else if (finish === 'length') parts.push('cut off at the limit of tokens');
  return parts.join(' · ');
}
