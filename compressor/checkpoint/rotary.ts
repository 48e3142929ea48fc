import { z } from 'zod';
import { InvalidDataError } from '../../artifact/errors.ts';
import type { Rotary } from './architecture.ts';

const positive = z.number().positive().max(1e12);

/** How the rotary frequencies of a model are scaled, by the names that transformers gives the parameters. */
export const ropeScalingSchema = z.object({
  rope_theta: positive,
  rope_type: z.string().default('default'),
  factor: positive.optional(),
  original_max_position_embeddings: positive.optional(),
  low_freq_factor: positive.optional(),
  high_freq_factor: positive.optional(),
  attention_factor: positive.nullish(),
  beta_fast: positive.nullish(),
  beta_slow: positive.nullish(),
  mscale: z.number().nullish(),
  mscale_all_dim: z.number().nullish(),
  truncate: z.boolean().default(true),
});
export type RopeScaling = z.infer<typeof ropeScalingSchema>;

/**
 * Inverse frequencies of one rotary, scaling applied.
 * @throws InvalidDataError for scalings whose frequencies depend on the length of the text, and unknown ones
 */
export function rotaryOf(scaling: RopeScaling, headSize: number, where: string): Rotary {
  const plain = Array.from({ length: headSize / 2 }, (_, i) => scaling.rope_theta ** ((-2 * i) / headSize));
  const need = (
    name: 'factor' | 'original_max_position_embeddings' | 'low_freq_factor' | 'high_freq_factor',
  ) => {
    const value = scaling[name];
    if (value === undefined)
      throw new InvalidDataError(`${where}: ${scaling.rope_type} rope scaling lacks ${name}.`);
    return value;
  };
  switch (scaling.rope_type) {
    case 'default':
      return { inverseFrequencies: plain, magnitude: 1 };
    case 'linear':
      return { inverseFrequencies: plain.map((frequency) => frequency / need('factor')), magnitude: 1 };
    case 'llama3':
      return {
        inverseFrequencies: llama3(plain, {
          factor: need('factor'),
          low: need('low_freq_factor'),
          high: need('high_freq_factor'),
          original: need('original_max_position_embeddings'),
        }),
        magnitude: 1,
      };
    case 'yarn':
      return yarn(plain, scaling, need('factor'), need('original_max_position_embeddings'));
    default:
      throw new InvalidDataError(
        `${where} has rope scaling ${JSON.stringify(scaling.rope_type)}. Foldgate knows default, linear, llama3 and yarn; ` +
          '`dynamic` and `longrope` change with the length of the text, which a folded graph cannot. ' +
          'Remove the scaling from the config to fold the model for its original context.',
      );
  }
}

/** Keeps high frequencies, divides low ones by `factor`, blends between (Llama 3.1). */
function llama3(
  plain: number[],
  p: { factor: number; low: number; high: number; original: number },
): number[] {
  return plain.map((frequency) => {
    const turns = (p.original * frequency) / (2 * Math.PI); // within the original context
    if (turns < p.low) return frequency / p.factor;
    if (turns > p.high) return frequency;
    const smooth = (turns - p.low) / (p.high - p.low);
    return ((1 - smooth) * frequency) / p.factor + smooth * frequency;
  });
}

/** YaRN (arXiv 2309.00071), with the magnitude on cos and sin. */
function yarn(plain: number[], scaling: RopeScaling, factor: number, original: number): Rotary {
  const dimensions = plain.length * 2;
  /** The dimension that turns `turns` times within the original context. */
  const dimensionOf = (turns: number) =>
    (dimensions * Math.log(original / (turns * 2 * Math.PI))) / (2 * Math.log(scaling.rope_theta));
  let low = dimensionOf(scaling.beta_fast ?? 32);
  let high = dimensionOf(scaling.beta_slow ?? 1);
  if (scaling.truncate) [low, high] = [Math.floor(low), Math.ceil(high)];
  low = Math.max(low, 0);
  high = Math.min(high, dimensions - 1);
  if (low === high) high += 0.001;
  const inverseFrequencies = plain.map((frequency, i) => {
    const ramp = Math.min(Math.max((i - low) / (high - low), 0), 1);
    return (frequency / factor) * ramp + frequency * (1 - ramp);
  });
  return { inverseFrequencies, magnitude: scaling.attention_factor ?? yarnMagnitude(factor, scaling) };
}

function yarnMagnitude(factor: number, { mscale, mscale_all_dim }: RopeScaling): number {
  const magnitude = (scale: number) => (factor <= 1 ? 1 : 0.1 * scale * Math.log(factor) + 1);
  return mscale && mscale_all_dim ? magnitude(mscale) / magnitude(mscale_all_dim) : magnitude(1);
}
