/** Tokens of a window of any text that a fold looks at, where the model's context has them. */
export const windowTokens = 256;

/** Tokens that patches are fitted on: fewer, and the map learns the text. */
export const patchTokens = 12_288;

/** Tokens that int4 is fitted to, where the text has them. */
export const int4Tokens = 8192;
