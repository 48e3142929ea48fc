/** Text to prompt with: made of a small stock of words, endless, and different for every request. */

const adjectives =
  'quiet old green narrow bright heavy gentle broken early distant careful wooden silver curious patient warm';
const nouns =
  'river teacher garden engine letter harbour window market doctor bridge forest kitchen child lantern road mountain';
const verbs =
  'watches repairs follows remembers paints crosses opens measures carries finds answers leaves builds hears';
const endings = [
  'before the rain begins',
  'while the others wait',
  'as they did last summer',
  'without saying a word',
  'and writes it down',
  'because nobody else will',
  'until the lamps are lit',
  'although it is late',
];

const stock = {
  adjective: adjectives.split(' '),
  noun: nouns.split(' '),
  verb: verbs.split(' '),
  ending: endings,
};

/** Sentences, cut after exactly so many words. */
export function prose(words: number, random: () => number): string {
  const pick = (kind: keyof typeof stock) => stock[kind][Math.floor(random() * stock[kind].length)]!;
  const text: string[] = [];
  while (text.length < words) {
    const subject = `The ${pick('adjective')} ${pick('noun')}`;
    const sentence = `${subject} ${pick('verb')} the ${pick('adjective')} ${pick('noun')} ${pick('ending')}.`;
    text.push(...sentence.split(' '));
  }
  return text.slice(0, words).join(' ');
}
