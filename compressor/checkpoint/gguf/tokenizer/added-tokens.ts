import type { AddedToken } from './build.ts';
import { kinds, type Vocabulary } from './vocabulary.ts';

/** Pieces matched as a whole before anything else: control tokens, and those the model's makers defined. */
export function addedTokens({ pieces, kinds: kindOf }: Vocabulary): AddedToken[] {
  return pieces.flatMap((content, id) => {
    const special = kindOf[id] === kinds.control;
    const whole = (special || kindOf[id] === kinds.userDefined) && content !== '';
    return whole ? [{ id, content, special }] : [];
  });
}
