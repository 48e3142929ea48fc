import { describe, expect, it } from 'vitest';
import { StopStrings } from '../../../functions/text/stop-strings.ts';
import { randomIntegers } from '../../fixtures/random.ts';

/** What one gets from a text that comes in these pieces, and how much of it was given out on the way. */
function run(stops: string[], pieces: string[]) {
  const matcher = new StopStrings(stops);
  let text = '';
  const given: string[] = [];
  for (const piece of pieces) {
    const step = matcher.push(piece);
    text += step.text;
    given.push(step.text);
    if (step.stop !== undefined) return { text, stop: step.stop, given };
  }
  text += matcher.end();
  return { text, stop: undefined, given };
}

/** The definition, slowly: the shortest beginning of the text that ends in a stop string, without it. */
function reference(stops: string[], text: string) {
  for (let end = 1; end <= text.length; end++) {
    const found = stops.filter((stop) => text.slice(0, end).endsWith(stop));
    if (found.length === 0) continue;
    const stop = found.reduce((longest, other) => (other.length > longest.length ? other : longest));
    return { text: text.slice(0, end - stop.length), stop };
  }
  return { text, stop: undefined };
}

describe('StopStrings', () => {
  it('ends the text before a stop string that spans pieces', () => {
    const result = run(['END'], ['to the E', 'N', 'D of it']);
    expect(result).toMatchObject({ text: 'to the ', stop: 'END' });
    expect(result.given).toEqual(['to the ', '', '']);
  });

  it('gives out what only looked like the beginning of one', () => {
    const result = run(['END'], ['the E', 'Nd']);
    expect(result).toEqual({ text: 'the ENd', stop: undefined, given: ['the ', 'ENd'] });
  });

  it('gives out what it held back when the text ends', () => {
    expect(run(['\n\n'], ['a line\n'])).toMatchObject({ text: 'a line\n', stop: undefined });
  });

  it('passes everything through at once without stop strings', () => {
    expect(run([], ['a', 'b']).given).toEqual(['a', 'b']);
  });

  it('takes the stop string that is complete first', () => {
    expect(run(['abcd', 'c'], ['xabcd'])).toMatchObject({ text: 'xab', stop: 'c' });
  });

  it('takes the longest of those complete at once', () => {
    expect(run(['c', 'bc'], ['abc'])).toMatchObject({ text: 'a', stop: 'bc' });
  });

  // Two letters and short stop strings make overlaps of every kind likely.
  it('follows its definition for any text, however it is cut', () => {
    const random = randomIntegers(1);
    const word = (length: number) => Array.from({ length }, () => 'ab'[random(2)]).join('');
    let stopped = 0;
    for (let round = 0; round < 5000; round++) {
      const stops = Array.from({ length: 1 + random(4) }, () => word(1 + random(5)));
      const text = word(random(16)).replace(/b/g, () => (random(3) === 0 ? 'c' : 'b'));
      const pieces: string[] = [];
      for (let at = 0; at < text.length; ) {
        const length = 1 + random(4);
        pieces.push(text.slice(at, at + length));
        at += length;
      }
      const expected = reference(stops, text);
      const { given, ...actual } = run(stops, pieces);
      expect(actual, JSON.stringify({ stops, pieces })).toEqual(expected);
      if (expected.stop !== undefined) stopped++;
    }
    expect(stopped).toBeGreaterThan(1000);
    expect(stopped).toBeLessThan(4900);
  });
});
