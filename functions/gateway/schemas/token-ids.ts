import { z } from 'zod';
import type { LoadedModel } from '../../model/loaded-model.ts';
import { ApiError } from '../errors.ts';

export const tokenIds = z.array(z.int().min(0));

/** @throws ApiError 400 for an id that the model's vocabulary does not have. */
export function requireKnownTokens(model: LoadedModel, tokens: readonly number[], param: string): void {
  const { vocabularySize } = model.engine.limits;
  const unknown = tokens.find((id) => id >= vocabularySize);
  if (unknown === undefined) return;
  const message = `${param}: token ids should be below ${vocabularySize}; there is a ${unknown}.`;
  throw new ApiError(400, message, { param, code: 'invalid_value' });
}
