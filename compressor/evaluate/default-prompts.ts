/** Beginnings of texts of several kinds, for a look at how a model writes where the user names none. */
export const defaultPrompts: readonly string[] = [
  'Once upon a time there was a',
  'The town lies on the bank of a wide river, and',
  'To bake a simple bread you need flour, water and',
  'The most important thing I learned that summer was',
  'Water boils at a lower temperature on a mountain because',
  '"Where have you been?" asked the old woman. The boy',
  'There are three reasons why people move to the city. First,',
  'Early in the morning, before anyone was awake,',
];
