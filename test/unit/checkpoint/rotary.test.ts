import { readFile } from 'node:fs/promises';
import { expect, it } from 'vitest';
import { InvalidDataError } from '../../../artifact/errors.ts';
import { ropeScalingSchema, rotaryOf } from '../../../compressor/checkpoint/rotary.ts';

interface Golden {
  name: string;
  parameters: object;
  headSize: number;
  inverseFrequencies: number[];
  magnitude: number;
}
const goldens: Golden[] = JSON.parse(await readFile(new URL('rotaries.json', import.meta.url), 'utf8'));

it.each(goldens)(
  "has transformers' frequencies: $name",
  ({ parameters, headSize, inverseFrequencies, magnitude }) => {
    const rotary = rotaryOf(ropeScalingSchema.parse(parameters), headSize, 'here');
    expect(rotary.inverseFrequencies).toHaveLength(headSize / 2);
    for (const [i, frequency] of rotary.inverseFrequencies.entries()) {
      // Theirs are computed in float32.
      expect(frequency / inverseFrequencies[i]!, `pair ${i}`).toBeCloseTo(1, 5);
    }
    expect(rotary.magnitude).toBeCloseTo(magnitude, 6);
  },
);

it.each(['dynamic', 'longrope', 'su', 'no such'])('refuses the scaling %s by name', (rope_type) => {
  const scaling = ropeScalingSchema.parse({ rope_theta: 10_000, rope_type, factor: 2 });
  expect(() => rotaryOf(scaling, 64, 'here')).toThrow(InvalidDataError);
  expect(() => rotaryOf(scaling, 64, 'here')).toThrow(`here has rope scaling "${rope_type}"`);
});

it('says which parameter a scaling lacks', () => {
  const scaling = ropeScalingSchema.parse({ rope_theta: 10_000, rope_type: 'llama3', factor: 8 });
  expect(() => rotaryOf(scaling, 64, 'here')).toThrow('llama3 rope scaling lacks');
});
