export const eventStreamHeaders = {
  'content-type': 'text/event-stream; charset=utf-8',
  'cache-control': 'no-cache',
  // Reverse proxies that buffer would turn a stream into one late answer.
  'x-accel-buffering': 'no',
};

/** Bytes on their way to a reader, beyond which it counts as slow: some seconds of a quick model's stream. */
const bufferedBytes = 32 * 1024;

export interface EventStreamOptions {
  /** What follows the last event. */
  end: string;
  /** The event that tells of an error; the stream ends with it. */
  failure: (error: unknown) => string;
  /** The reader went away. */
  onCancel: () => void;
  /** Told of an error that came after the stream began. */
  onError: (error: unknown) => void;
}

/** Where a producer puts its events. */
export interface EventSink {
  /** @param frame whole events */
  send(frame: string): void;
  /** The reader is behind: what can wait, or be said in fewer words, should. */
  readonly isFull: boolean;
  /** Called when the reader has caught up. */
  onDrain: () => void;
}

/**
 * Server-sent events from a producer. Resolves with the first event, so that a request which fails before
 * it still gets a proper status; an error after that is sent as an event of its own, and the stream ends.
 * Events sent within one turn of the event loop leave in one write.
 */
export function eventStream(
  produce: (sink: EventSink) => Promise<void>,
  { end, failure, onCancel, onError }: EventStreamOptions,
): Promise<ReadableStream<Uint8Array>> {
  const begun = Promise.withResolvers<ReadableStream<Uint8Array>>();
  let controller!: ReadableStreamDefaultController<Uint8Array>;
  let open = true;
  let pending = '';
  let isFirst = true;
  const stream = new ReadableStream<Uint8Array>(
    {
      start(given) {
        controller = given;
      },
      pull: () => sink.onDrain(),
      cancel() {
        open = false;
        onCancel();
      },
    },
    new ByteLengthQueuingStrategy({ highWaterMark: bufferedBytes }),
  );

  const flush = () => {
    if (pending === '' || !open) return;
    controller.enqueue(Buffer.from(pending));
    pending = '';
  };
  const sink: EventSink = {
    send(frame) {
      if (pending === '') setImmediate(flush);
      pending += frame;
      if (!isFirst) return;
      isFirst = false;
      begun.resolve(stream);
    },
    get isFull() {
      return open && controller.desiredSize! <= 0;
    },
    onDrain: () => {},
  };
  const close = (lastFrame: string) => {
    sink.send(lastFrame);
    flush();
    if (open) controller.close();
    open = false;
  };
  produce(sink).then(
    () => close(end),
    (error) => {
      if (isFirst) return begun.reject(error);
      onError(error);
      close(failure(error));
    },
  );
  return begun.promise;
}
