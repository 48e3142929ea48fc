import { InvalidDataError } from '../../../artifact/errors.ts';
import { isObject } from '../json.ts';

const present = (value: unknown) => value !== undefined && value !== null && value !== false && value !== 0;
const experts = 'a mixture of experts';

/** Fields of a config that mean a computation Foldgate has not: each with its name for people. */
const refused: [field: string, feature: string, refuses: (value: unknown) => boolean][] = [
  ['num_experts', experts, present],
  ['num_local_experts', experts, present],
  ['n_routed_experts', experts, present],
  ['final_logit_softcapping', 'logit softcapping', present],
  ['attn_logit_softcapping', 'attention logit softcapping', present],
  ['mlp_bias', 'biases in the MLP', present],
  ['use_bidirectional_attention', 'bidirectional attention', present],
  ['partial_rotary_factor', 'rotary embeddings on part of a head', (value) => present(value) && value !== 1],
  ['quantization_config', 'weights quantized for another runtime', present],
];

/** @throws InvalidDataError naming the feature */
export function refuseUnsupported(config: Record<string, unknown>, where: string): void {
  const rope = isObject(config.rope_parameters) ? config.rope_parameters : {};
  const fields = { partial_rotary_factor: rope.partial_rotary_factor, ...config };
  for (const [field, feature, refuses] of refused) {
    const value = (fields as Record<string, unknown>)[field];
    if (refuses(value)) {
      const came = isObject(value) ? '' : ` (${field}: ${JSON.stringify(value)})`;
      throw new InvalidDataError(
        `${where} asks for ${feature}${came || ` (${field})`}, which Foldgate cannot fold. Use a model without.`,
      );
    }
  }
}
