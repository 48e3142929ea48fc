import {
  EngineError,
  type GenerationChunk,
  type GenerationRequest,
  GrammarError,
  type Sampling,
} from '../engine/engine.ts';
import { CompletionText } from './completion-text.ts';
import type { LoadedModel } from './loaded-model.ts';
import { contextOverflow, PromptError } from './prompt-error.ts';
import { reportPrompt } from './prompt-report.ts';
import type { TokenReport } from './token-report.ts';
import type { ToolCallDelta } from './tools/tool.ts';
import { type PossibleCalls, ToolCallText } from './tools/tool-call-text.ts';

export interface TextRequest {
  prompt: number[];
  /** The request's field the prompt came from, for errors. */
  promptParam: string;
  /** Comes before the completion, not searched for stop strings. */
  echo: string;
  maxTokens: number;
  sampling: Sampling;
  stop: readonly string[];
  /** Goes on where the model would end its text. */
  ignoreEos: boolean;
  /** The text goes on from the prompt's, rather than being one of its own. */
  continues: boolean;
  stream: boolean;
  /** Report each token, with so many of the likeliest in its place. @default none */
  logprobs?: number | undefined;
  /** Report the token that ended the text as well, though it has no part in it. @default false */
  reportStop?: boolean;
  /** Report the tokens of the prompt as well, with the echo. @default false */
  promptLogprobs?: boolean;
  /** Neither stop strings nor tokens end the text before it has so many tokens. @default 0 */
  minTokens?: number;
  /** Tokens that end the text, beside the model's own. @default none */
  stopTokens?: readonly number[];
  /** The text holds what ended it, a stop string or the text of a token. @default false */
  includeStop?: boolean;
  /** The text holds control tokens, as they are spelled. @default false */
  showSpecial?: boolean;
  /** Only requests with the same one reuse each other's prompts. @default '' */
  cacheSalt?: string | undefined;
  /** What the text has to be. @default anything */
  grammar?: RequestGrammar | undefined;
  /** Tool calls that the text may have. @default none */
  calls?: PossibleCalls | undefined;
}

export interface RequestGrammar {
  /** In XGrammar's notation. */
  ebnf: string;
  /** The request's field it came from, for errors. */
  param: string;
}

export type Finish = 'stop' | 'length' | 'tool_calls';

export interface TextDelta {
  text: string;
  /** Tokens made since the last delta, whether or not their text is in this one. */
  tokens: number;
  finish?: Finish;
  /** Pieces of tool calls, which the text does not have. */
  calls?: ToolCallDelta[];
  /** The stop string that ended the text, with `finish`. */
  stop?: string;
  /** The tokens whose text begins in this delta; all that are left, where it is the last. */
  logprobs?: TokenReport[];
  timings?: Timings;
  /** Prompt tokens that were known already, on the last delta. */
  cachedTokens?: number;
}

/** Milliseconds. */
export interface Timings {
  queue: number;
  prefill: number;
  decode: number;
}

/**
 * One completion as text. The last delta, and only that one, carries `finish`.
 * @throws PromptError for one beyond the context; EngineError; the signal's reason.
 */
export async function* generateText(
  model: LoadedModel,
  request: TextRequest,
  signal: AbortSignal,
): AsyncGenerator<TextDelta> {
  const { contextLength } = model.engine.limits;
  if (request.prompt.length >= contextLength) {
    throw contextOverflow(request.prompt.length, contextLength, request.promptParam);
  }
  if (request.maxTokens === 0 && !request.promptLogprobs) {
    yield { text: request.echo, tokens: 0, finish: 'length' };
    return;
  }
  if (request.echo !== '' && !request.promptLogprobs) yield { text: request.echo, tokens: 0 };
  const completion = new CompletionText(model, request);
  const calls = request.calls && new ToolCallText(request.calls);
  for await (const chunk of chunksOf(model, request, signal)) {
    if (chunk.promptLogprobs) {
      const logprobs = reportPrompt(model, request.prompt, request.echo, chunk.promptLogprobs);
      const delta: TextDelta = { text: request.echo, tokens: 0, logprobs };
      if (request.maxTokens === 0) delta.finish = 'length';
      yield delta;
      if (delta.finish) return;
    }
    const delta = completion.push(chunk);
    yield calls?.split(delta) ?? delta;
    if (delta.finish) return; // leaving the loop stops the engine
  }
  signal.throwIfAborted();
  throw new EngineError('The generation ended without a reason.');
}

async function* chunksOf(
  model: LoadedModel,
  request: TextRequest,
  signal: AbortSignal,
): AsyncGenerator<GenerationChunk> {
  const { prefixes } = model;
  // Where every token of the prompt is to be reported on, it is read anew.
  const waited = request.promptLogprobs ? 0 : await prefixes?.supply(request.prompt, signal);
  try {
    for await (const chunk of model.engine.generate(engineRequest(model, request), signal)) {
      const { timings, cachedTokens = 0 } = chunk;
      if (timings) prefixes?.measured(request.prompt.length - cachedTokens, timings.prefill);
      yield timings && waited ? { ...chunk, timings: { ...timings, queue: timings.queue + waited } } : chunk;
    }
  } catch (error) {
    if (!(error instanceof GrammarError) || !request.grammar) throw error;
    throw new PromptError(error.message, 'invalid_grammar', request.grammar.param, { cause: error });
  }
}

function engineRequest(model: LoadedModel, request: TextRequest): GenerationRequest {
  const { prompt, sampling, logprobs, promptLogprobs, minTokens = 0, stopTokens = [], grammar } = request;
  return {
    prompt,
    maxTokens: Math.max(request.maxTokens, 1), // a report on the prompt alone comes with a token, too
    sampling,
    stopTokens: [...(request.ignoreEos && !grammar ? [] : model.eos), ...stopTokens],
    delivery: request.stop.length > 0 ? 'each' : request.stream ? 'soon' : 'end',
    ...(logprobs !== undefined && { logprobs }),
    ...(promptLogprobs && { promptLogprobs }),
    ...(minTokens > 0 && { minTokens }),
    // A grammar's end is an end, but a text that need not end goes on as long as it can.
    ...(grammar && { grammar: { ebnf: grammar.ebnf, longest: request.ignoreEos } }),
    ...(request.cacheSalt && { cacheSalt: request.cacheSalt }),
  };
}
