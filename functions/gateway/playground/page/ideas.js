import { summaryOf } from './layers.js';
import { bytesText, countText } from './numbers.js';

/** What to begin with, for those who only want to see something. */
const chatIdeas = [
  'Explain why the sky is blue.',
  'Write a haiku about folded paper.',
  'Name three uses for a paperclip.',
];
const textIdeas = [
  'Once upon a time, there was a little',
  'One day, a brave mouse',
  'The old house by the sea',
];

/**
 * @param {import('./request.js').Mode} mode
 * @param {string} model
 * @param {import('./api.js').ModelDetails | undefined} details
 */
export function welcomeOf(mode, model, details) {
  const ideas = mode === 'chat' ? chatIdeas : textIdeas;
  const note =
    details?.chat === false
      ? 'This model was never taught to chat: it goes on from any text.'
      : sizesOf(details);
  return { title: model, note, ideas };
}

/** @param {import('./api.js').ModelDetails | undefined} details */
function sizesOf(details) {
  const parts = [];
  if (details?.layers) parts.push(summaryOf(details.layers));
  if (details?.parameters) parts.push(`${countText(details.parameters.folded)} parameters`);
  if (details?.bytes !== undefined) parts.push(bytesText(details.bytes));
  return parts.join(' · ');
}
