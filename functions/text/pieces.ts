import { InvalidDataError } from '../../artifact/errors.ts';
import type { Tokenizer } from '../../artifact/tokenizer.ts';
import { bytesOfByteLevel } from './byte-level.ts';

/**
 * What each token adds to a text: a string where its bytes are whole characters, bytes where a character
 * continues in the next token. Both families in use decode token by token, so that streaming costs the same
 * for the thousandth token as for the first.
 */
export interface TokenPieces {
  of(id: number): string | Uint8Array;
  /** Spaces to drop where a text begins: SentencePiece writes one before the first word. */
  readonly leadingSpaces: number;
}

/** @throws InvalidDataError for a decoder that is neither byte-level nor SentencePiece. */
export function tokenPieces(tokenizer: Tokenizer): TokenPieces {
  const { spelling, leadingSpaces } = readDecoder(tokenizer.decoder);
  const cache: (string | Uint8Array)[] = [];
  return {
    leadingSpaces,
    of(id) {
      let piece = cache[id];
      if (piece === undefined) {
        piece = pieceOf(tokenizer, id, spelling);
        cache[id] = piece;
      }
      return piece;
    },
  };
}

/** From a token's spelling in the vocabulary to its bytes, or to its text where no byte can be torn off. */
type Spelling = (token: string) => string | Uint8Array;

function pieceOf(tokenizer: Tokenizer, id: number, spelling: Spelling): string | Uint8Array {
  const kind = tokenizer.addedKind(id);
  const token = tokenizer.tokenOf(id);
  // Ids beyond the vocabulary exist where the embedding is padded; like control tokens, they have no text.
  if (kind === 'special' || token === undefined) return '';
  const piece = kind === 'text' ? token : spelling(token);
  return typeof piece === 'string' ? piece : wholeText(piece);
}

const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function wholeText(bytes: Uint8Array): string | Uint8Array {
  try {
    return strict.decode(bytes);
  } catch {
    return bytes;
  }
}

interface DecoderStep {
  type?: unknown;
  decoders?: unknown;
  pattern?: { String?: unknown };
  content?: unknown;
  start?: unknown;
  replacement?: unknown;
  prepend_scheme?: unknown;
}

function readDecoder(decoder: unknown): { spelling: Spelling; leadingSpaces: number } {
  const steps = flatten(decoder as DecoderStep | null);
  const replacements: [string, string][] = [];
  let byteLevel = false;
  let byteFallback = false;
  let leadingSpaces = 0;
  for (const step of steps) {
    if (step.type === 'ByteLevel') byteLevel = true;
    else if (step.type === 'ByteFallback') byteFallback = true;
    else if (step.type === 'Replace' && typeof step.pattern?.String === 'string') {
      replacements.push([step.pattern.String, String(step.content ?? '')]);
    } else if (step.type === 'Metaspace') {
      replacements.push([String(step.replacement ?? '▁'), ' ']);
      if (step.prepend_scheme !== 'never') leadingSpaces = 1;
    } else if (step.type === 'Strip' && step.content === ' ') leadingSpaces = Number(step.start ?? 0);
    else if (step.type !== 'Fuse') throw unsupported(step);
  }
  if (byteLevel && replacements.length === 0) return { spelling: bytesOfByteLevel, leadingSpaces };
  if (byteLevel || replacements.length === 0) throw unsupported(decoder);
  const spelling: Spelling = (token) => {
    const byte = byteFallback ? /^<0x([0-9A-Fa-f]{2})>$/.exec(token) : null;
    if (byte) return Uint8Array.of(Number.parseInt(byte[1]!, 16));
    return replacements.reduce((text, [from, to]) => text.replaceAll(from, to), token);
  };
  return { spelling, leadingSpaces };
}

function flatten(decoder: DecoderStep | null | undefined): DecoderStep[] {
  if (!decoder) return [];
  return decoder.type === 'Sequence' ? (decoder.decoders as DecoderStep[]).flatMap(flatten) : [decoder];
}

function unsupported(decoder: unknown): InvalidDataError {
  return new InvalidDataError(
    `The tokenizer's decoder should be ByteLevel, Metaspace or a Sequence of Replace, ByteFallback, Fuse and ` +
      `Strip; it is ${JSON.stringify(decoder)}. Models with other tokenizers cannot be served.`,
  );
}

/** Characters of the longest token's spelling, at least 1. */
export function longestToken(tokenizer: Tokenizer): number {
  let longest = 1;
  for (let id = 0; id < tokenizer.size; id++) longest = Math.max(longest, tokenizer.tokenOf(id)?.length ?? 0);
  return longest;
}
