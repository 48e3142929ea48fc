import type { Vocabulary } from './vocabulary.ts';

/** What passes between the engine's caller and the thread that follows grammars. */

export interface GrammarThreadOptions {
  vocabulary: Vocabulary;
  doorbell: SharedArrayBuffer;
}

export interface OpenMessage {
  type: 'open';
  id: number;
  ebnf: string;
  longest: boolean;
  constraint: SharedArrayBuffer;
}

export type ToGrammarThread = OpenMessage | { type: 'close'; id: number };

export type FromGrammarThread =
  | { type: 'opened'; id: number }
  /** The grammar is at fault. */
  | { type: 'refused'; id: number; message: string };
