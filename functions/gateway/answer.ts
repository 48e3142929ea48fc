import type { Context } from 'hono';
import type { TextDelta, TextRequest } from '../model/generate.ts';
import {
  type Choice,
  collectChoices,
  type Generate,
  type OnDelta,
  type Run,
  runChoices,
  type Usage,
} from './choices.ts';
import { toApiError } from './errors.ts';
import { type EventSink, eventStream, eventStreamHeaders } from './event-stream.ts';
import { HeldDeltas } from './held-deltas.ts';
import { RequestCancelled } from './in-flight.ts';
import { serverTiming } from './server-timing.ts';
import type { Shape } from './shapes.ts';

export interface Answer {
  run: Run;
  /** Every choice, those of one prompt side by side. */
  requests: readonly TextRequest[];
  /** Counts what is made. */
  usage: Usage;
  shape: Shape;
  /** Which of the choices are sent, where they are not streamed. @default all */
  select?: ((choices: Choice[]) => Choice[]) | undefined;
  stream: boolean;
  includeUsage: boolean;
  /** Milliseconds that the request waited for its model to load. */
  loadTime: number;
  /** Told of errors that come after a stream began. */
  onError: (error: unknown) => void;
  /** Told of each choice's text as it is made. */
  onDelta?: OnDelta | undefined;
  /** Called when the engine works for this answer no more; with the error, where that was why. */
  onEnd: (error?: unknown) => void;
}

/** Runs a request's choices and sends them, whole or as they come. A closed connection stops them. */
export async function sendAnswer(c: Context, answer: Answer): Promise<Response> {
  const { run, requests, shape, usage } = answer;
  const generate: Generate = async (onDelta) => {
    const onEach: OnDelta = (index, delta) => {
      usage.add(index, delta);
      answer.onDelta?.(index, delta);
      onDelta(index, delta);
    };
    try {
      await runChoices(run, requests, onEach);
    } catch (error) {
      answer.onEnd(error);
      throw error;
    }
    answer.onEnd();
  };
  if (!answer.stream) {
    const made = await collectChoices(requests, generate);
    const choices = answer.select?.(made) ?? made;
    c.header('server-timing', serverTiming({ load: answer.loadTime, ...usage.timings }));
    return c.json(shape.whole(choices, usage.fields()));
  }
  const produce = async (sink: EventSink) => {
    const opened = new Set<number>();
    const held = new HeldDeltas();
    const write = (index: number, { text, finish, stop, logprobs, calls }: TextDelta) => {
      let frames = '';
      if (!opened.has(index)) {
        opened.add(index);
        frames = shape.opening(index);
      }
      // What an answer says comes before what it calls.
      const hasMore = !finish || calls;
      if (hasMore && (text !== '' || logprobs)) frames += shape.text(index, text, logprobs);
      if (calls) frames += shape.calls?.(index, calls) ?? '';
      if (finish && calls) frames += shape.finish(index, '', finish, stop);
      else if (finish) frames += shape.finish(index, text, finish, stop, logprobs);
      if (frames !== '') sink.send(frames);
    };
    const writeHeld = () => {
      for (const [index, delta] of held.take()) write(index, delta);
    };
    sink.onDrain = writeHeld;
    // What is held belongs before what follows, also where that is an error.
    await generate((index, delta) => {
      if (sink.isFull) held.add(index, delta);
      else {
        writeHeld();
        write(index, delta);
      }
    }).finally(writeHeld);
    if (answer.includeUsage) sink.send(shape.usage(usage.fields()));
  };
  const onCancel = () => run.controller.abort(new RequestCancelled());
  const stream = await eventStream(produce, {
    end: shape.end,
    failure: (error) => shape.failure(toApiError(error)),
    onCancel,
    onError: answer.onError,
  });
  // The other phases are not over yet; `timings` at the stream's end has them.
  c.header('server-timing', serverTiming({ load: answer.loadTime }));
  return c.body(stream, 200, eventStreamHeaders);
}
