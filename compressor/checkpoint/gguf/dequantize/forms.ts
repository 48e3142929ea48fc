import type { BlockForm } from './block-form.ts';
import { q4_0, q4_1, q5_0, q5_1, q8_0 } from './blocks-of-32.ts';
import { bf16, f16, f32 } from './floats.ts';
import { q4_k, q5_k, q6_k } from './k-quants.ts';

/** By ggml's numbers. */
const forms: Record<number, BlockForm> = {
  0: f32,
  1: f16,
  2: q4_0,
  3: q4_1,
  6: q5_0,
  7: q5_1,
  8: q8_0,
  12: q4_k,
  13: q5_k,
  14: q6_k,
  30: bf16,
};

/** Names of forms that are not read, for messages. */
const others: Record<number, string> = {
  10: 'Q2_K',
  11: 'Q3_K',
  16: 'IQ2_XXS',
  17: 'IQ2_XS',
  18: 'IQ3_XXS',
  19: 'IQ1_S',
  20: 'IQ4_NL',
  21: 'IQ3_S',
  22: 'IQ2_S',
  23: 'IQ4_XS',
  29: 'IQ1_M',
  34: 'TQ1_0',
  35: 'TQ2_0',
  39: 'MXFP4',
};

export function formOf(type: number): BlockForm | undefined {
  return forms[type];
}

export function formName(type: number): string {
  return forms[type]?.name ?? others[type] ?? `type ${type}`;
}

export const readableForms: readonly string[] = Object.values(forms).map((form) => form.name);
