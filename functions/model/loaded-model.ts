import type { ChatTemplate } from '../../artifact/chat-template.ts';
import type { Manifest } from '../../artifact/manifest.ts';
import type { Tokenizer } from '../../artifact/tokenizer.ts';
import type { Engine } from '../engine/engine.ts';
import type { TokenPieces } from '../text/pieces.ts';
import type { NamedVersion } from './draft.ts';
import type { StoredPrefixes } from './stored-prefixes.ts';

/** A model that can answer. */
export interface LoadedModel {
  readonly name: string;
  /** The sha256 of its manifest. */
  readonly version: string;
  /** Tells two versions of a model apart: the beginning of the digest, as answers show it. */
  readonly fingerprint: string;
  /** What it consists of. Absent where it comes from no store. */
  readonly manifest?: Manifest;
  /** The model that drafts for it. */
  readonly draft?: NamedVersion | undefined;
  readonly engine: Engine;
  /** Computed prompts that its store has. */
  readonly prefixes?: StoredPrefixes | undefined;
  readonly tokenizer: Tokenizer;
  readonly pieces: TokenPieces;
  /** Undefined for models that were never taught to chat. */
  readonly chatTemplate: ChatTemplate | undefined;
  /** Why there is none although the checkpoint has one. */
  readonly chatTemplateProblem?: string | undefined;
  /** Characters of the longest token: with it a text's length bounds its tokens from below. */
  readonly longestToken: number;
  /** Begins a text, for prompts without a token. */
  readonly bos: number | undefined;
  /** Generation ends at any of these. */
  readonly eos: readonly number[];
  /** What its makers say of sampling. */
  readonly sampling?: Manifest['sampling'];
}

/** What there is of a model where prompts are made for it and nothing is run. */
export type PromptModel = Omit<LoadedModel, 'engine' | 'prefixes' | 'draft'> & {
  engine: Pick<Engine, 'limits'>;
};

/** How tokens are drawn where a request does not say: as the model's makers say, else by their own probability. */
export function usualSampling({ sampling = {} }: Pick<LoadedModel, 'sampling'>) {
  const { temperature = 1, topP = 1, topK = 0, minP = 0, repetitionPenalty = 1 } = sampling;
  return { temperature, topP, topK, minP, repetitionPenalty };
}
