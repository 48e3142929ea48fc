/** The only door to AWS Lambda's streaming interface, a global of its Node runtime. */
import type { Writable } from 'node:stream';
import { FoldgateError } from '../../artifact/errors.ts';
import type { HttpEvent } from './event.ts';

/** Of what the runtime says about an invocation, what is used here. */
export interface InvocationContext {
  awsRequestId: string;
  getRemainingTimeInMillis(): number;
}

/** Bytes on their way to Lambda's Runtime API. Not a full `Writable`: it cannot be piped into. */
export type ResponseStream = Pick<
  Writable,
  'write' | 'end' | 'on' | 'once' | 'off' | 'destroyed' | 'writableEnded' | 'writableFinished'
>;

export type StreamingHandler = (
  event: HttpEvent,
  stream: ResponseStream,
  context: InvocationContext,
) => Promise<void>;

/** Status and headers, which go ahead of the first byte of the body. */
export interface ResponseHead {
  statusCode: number;
  headers: Record<string, string>;
  cookies: string[];
}

interface AwsLambda {
  streamifyResponse(handler: StreamingHandler): StreamingHandler;
  HttpResponseStream: { from(stream: ResponseStream, head: ResponseHead): ResponseStream };
}

/** Marks a handler as one that streams. @throws FoldgateError outside of Lambda */
export function streaming(handler: StreamingHandler): StreamingHandler {
  return awsLambda().streamifyResponse(handler);
}

/** Puts the head before the body. To be called before the first write. */
export function withHead(stream: ResponseStream, head: ResponseHead): ResponseStream {
  return awsLambda().HttpResponseStream.from(stream, head);
}

function awsLambda(): AwsLambda {
  const { awslambda } = globalThis as { awslambda?: AwsLambda };
  if (awslambda?.streamifyResponse !== undefined) return awslambda;
  throw new FoldgateError(
    'This entry runs in the Node runtime of AWS Lambda, which is not here. Use foldgate serve.',
  );
}
