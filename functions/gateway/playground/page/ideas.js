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

/** @param {import('./request.js').Mode} mode @param {string} model */
export function ideasFor(mode, model) {
  return mode === 'chat'
    ? { title: `Ask ${model}`, ideas: chatIdeas }
    : { title: `Begin a text, ${model} goes on`, ideas: textIdeas };
}
