import { EngineError, type GenerationRequest, type Sampling } from '../engine/engine.ts';
import { Detokenizer } from '../text/detokenizer.ts';
import { StopStrings } from '../text/stop-strings.ts';
import type { LoadedModel } from './loaded-model.ts';
import { contextOverflow } from './prompt-error.ts';

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
}

export interface TextDelta {
  text: string;
  /** Tokens made since the last delta, whether or not their text is in this one. */
  tokens: number;
  finish?: 'stop' | 'length';
  /** The stop string that ended the text, with `finish`. */
  stop?: string;
  timings?: Timings;
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
  if (request.maxTokens === 0) {
    yield { text: request.echo, tokens: 0, finish: 'length' };
    return;
  }
  if (request.echo !== '') yield { text: request.echo, tokens: 0 };
  const detokenizer = new Detokenizer(model.pieces, { continues: request.continues });
  const stops = new StopStrings(request.stop);
  for await (const chunk of model.engine.generate(engineRequest(model, request), signal)) {
    let { text, stop } = stops.push(detokenizer.push(chunk.tokens));
    const delta: TextDelta = {
      text,
      tokens: chunk.tokens.length,
      ...(chunk.timings && { timings: chunk.timings }),
    };
    if (stop === undefined && chunk.finish) {
      const rest = stops.push(detokenizer.end());
      stop = rest.stop;
      delta.text += rest.text + (stop === undefined ? stops.end() : '');
    }
    if (stop !== undefined) Object.assign(delta, { finish: 'stop', stop });
    else if (chunk.finish) delta.finish = chunk.finish;
    yield delta;
    if (delta.finish) return; // leaving the loop stops the engine
  }
  signal.throwIfAborted();
  throw new EngineError('The generation ended without a reason.');
}

function engineRequest(model: LoadedModel, request: TextRequest): GenerationRequest {
  return {
    prompt: request.prompt,
    maxTokens: request.maxTokens,
    sampling: request.sampling,
    stopTokens: request.ignoreEos ? [] : [...model.eos],
    delivery: request.stop.length > 0 ? 'each' : request.stream ? 'soon' : 'end',
  };
}
