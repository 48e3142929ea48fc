import type { Tokenizer } from '../../artifact/tokenizer.ts';
import type { Engine } from '../engine/engine.ts';
import type { ChatTemplate } from '../text/chat-template.ts';
import type { TokenPieces } from '../text/pieces.ts';

/** A model that can answer. */
export interface LoadedModel {
  readonly name: string;
  /** Tells two versions of a model apart: the beginning of its manifest's digest. */
  readonly fingerprint: string;
  readonly engine: Engine;
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
}

export type ModelState = { state: 'loading' | 'ready' } | { state: 'failed' | 'closed'; reason: string };

/** The model a gateway serves. */
export interface ModelService extends AsyncDisposable {
  readonly name: string;
  /** When the model was folded, or this service began, in Unix seconds. */
  readonly created: number;
  readonly state: ModelState;
  /** Loads the model once, however many ask; after a failure the next call tries again. @throws ModelUnavailableError */
  load(): Promise<LoadedModel>;
  /** A generation failed. Where the model can no longer generate at all, it is loaded anew. */
  reportFailure(model: LoadedModel, error: Error): Promise<void>;
}
