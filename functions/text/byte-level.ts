/**
 * GPT-2's byte-level spelling: every byte is written as one printable character, so that a vocabulary of
 * strings can hold any bytes. Printable Latin-1 stands for itself, the other 68 bytes follow from U+0100 on.
 */
const byteOfCharacter = new Map<string, number>();

const isPrintable = (byte: number) =>
  (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || (byte >= 0xae && byte <= 0xff);

for (let byte = 0, next = 0x100; byte < 0x100; byte++) {
  byteOfCharacter.set(String.fromCharCode(isPrintable(byte) ? byte : next++), byte);
}

/** The bytes a token stands for; a token that is not in byte-level spelling stands for its own text. */
export function bytesOfByteLevel(token: string): Uint8Array | string {
  const bytes = new Uint8Array(token.length);
  for (let i = 0; i < token.length; i++) {
    const byte = byteOfCharacter.get(token[i]!);
    if (byte === undefined) return token;
    bytes[i] = byte;
  }
  return bytes;
}
