import { z } from 'zod';
import { orDefault } from '../schemas/fields.ts';

/** llama.cpp's server has no `model` in these requests: it may be left out. */
export const servedModel = orDefault(z.string(), undefined);

/** Whether exactly one of several names for the same thing was used. */
export function noFurtherNames(...values: unknown[]): boolean {
  return values.filter((value) => value !== undefined).length === 1;
}
