import { InvalidDataError } from '../../artifact/errors.ts';
import type { Coder } from './coder.ts';

/** The bytes as they are. */
export const noCoder: Coder = {
  encode: (plain) => plain.slice(),
  decode(coded, _, plain) {
    if (coded.length !== plain.length)
      throw new InvalidDataError(`${plain.length} bytes were expected, and there are ${coded.length}.`);
    plain.set(coded);
  },
};
