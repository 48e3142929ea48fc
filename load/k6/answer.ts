import { serverTimings } from '../client/outcome.ts';

/** What k6 can know of an answer: it hands bodies over whole, so times come from the server. */
export interface Answer {
  tokens: number;
  promptTokens: number;
  cachedTokens: number;
  ttftMs?: number;
  interTokenMs?: number;
  /** Why it is none. */
  error?: string;
}

/** Reads an answer, or a stream of events whose last one has usage and timings. */
export function readAnswer(status: number, body: string, stream: boolean): Answer {
  const none = { tokens: 0, promptTokens: 0, cachedTokens: 0 };
  if (status !== 200) return { ...none, error: `${status} ${body.slice(0, 200)}` };
  const frames = stream ? eventsOf(body) : [body];
  if (stream && frames.pop() !== '[DONE]')
    return { ...none, error: `the stream broke off: ${body.slice(-200)}` };
  const { usage, timings } = JSON.parse(frames[frames.length - 1] ?? '{}');
  if (!usage) return { ...none, error: 'the answer has no usage' };
  return {
    tokens: usage.completion_tokens,
    promptTokens: usage.prompt_tokens,
    cachedTokens: usage.prompt_tokens_details?.cached_tokens ?? 0,
    ...serverTimings(timings, usage.completion_tokens),
  };
}

function eventsOf(body: string): string[] {
  return body
    .split('\n\n')
    .filter((frame) => frame.startsWith('data: '))
    .map((frame) => frame.slice('data: '.length));
}
