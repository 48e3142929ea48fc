/** Length of the text's longest end that one of the words begins with and goes on from. */
export function longestBeginning(words: readonly string[], text: string): number {
  let longest = 0;
  for (const word of words) {
    for (let length = Math.min(word.length - 1, text.length); length > longest; length--) {
      if (text.endsWith(word.slice(0, length))) longest = length;
    }
  }
  return longest;
}
