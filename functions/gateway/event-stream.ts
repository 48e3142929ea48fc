export const eventStreamHeaders = {
  'content-type': 'text/event-stream; charset=utf-8',
  'cache-control': 'no-cache',
  // Reverse proxies that buffer would turn a stream into one late answer.
  'x-accel-buffering': 'no',
};

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

/**
 * Server-sent events from a producer. Resolves with the first event, so that a request which fails before
 * it still gets a proper status; an error after that is sent as an event of its own, and the stream ends.
 * Events sent within one turn of the event loop leave in one write.
 * @param produce calls `send` with whole frames.
 */
export function eventStream(
  produce: (send: (frame: string) => void) => Promise<void>,
  { end, failure, onCancel, onError }: EventStreamOptions,
): Promise<ReadableStream<Uint8Array>> {
  const begun = Promise.withResolvers<ReadableStream<Uint8Array>>();
  let controller!: ReadableStreamDefaultController<Uint8Array>;
  let open = true;
  let pending = '';
  let isFirst = true;
  const stream = new ReadableStream<Uint8Array>({
    start(given) {
      controller = given;
    },
    cancel() {
      open = false;
      onCancel();
    },
  });

  const flush = () => {
    if (pending === '' || !open) return;
    controller.enqueue(Buffer.from(pending));
    pending = '';
  };
  const send = (frame: string) => {
    if (pending === '') setImmediate(flush);
    pending += frame;
    if (!isFirst) return;
    isFirst = false;
    begun.resolve(stream);
  };
  const close = (lastFrame: string) => {
    send(lastFrame);
    flush();
    if (open) controller.close();
    open = false;
  };
  produce(send).then(
    () => close(end),
    (error) => {
      if (isFirst) return begun.reject(error);
      onError(error);
      close(failure(error));
    },
  );
  return begun.promise;
}
