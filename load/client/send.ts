import OpenAI from 'openai';
import type { PlannedRequest } from '../scenario/requests.ts';
import { type Outcome, serverTimings } from './outcome.ts';

/** Milliseconds: a request that takes longer has failed. */
const timeoutMs = 10 * 60_000;

/** What both endpoints' chunks and answers may hold. */
interface Answer {
  choices: { text?: string; delta?: { content?: string | null } }[];
  usage?: Usage | null;
  timings?: Parameters<typeof serverTimings>[0];
}

interface Usage {
  prompt_tokens: number;
  completion_tokens: number;
  prompt_tokens_details?: { cached_tokens?: number };
}

/** The official client, without its retries: under load an error is a result. */
export function openaiClient(url: string, apiKey = 'any'): OpenAI {
  return new OpenAI({ baseURL: `${url}/v1`, apiKey, maxRetries: 0, timeout: timeoutMs });
}

/**
 * Sends a request and reads its answer to the end. Does not throw: what went wrong is in the outcome.
 * @param due when it should have been sent, by `performance.now()`
 */
export async function send(
  client: OpenAI,
  { kind, path, body }: PlannedRequest,
  due = performance.now(),
): Promise<Outcome> {
  const arrivals: number[] = [];
  let usage: Usage | undefined;
  let timings: Answer['timings'];
  const read = (answer: Answer) => {
    usage = answer.usage ?? usage;
    timings = answer.timings ?? timings;
  };
  let error: string | undefined;
  try {
    const route = path.replace(/^\/v1/, '');
    if (body.stream) {
      const chunks = await client.post<AsyncIterable<Answer>>(route, { body, stream: true });
      for await (const chunk of chunks) {
        const [choice] = chunk.choices;
        if ((choice?.text ?? choice?.delta?.content ?? '') !== '') arrivals.push(performance.now());
        read(chunk);
      }
    } else {
      read(await client.post<Answer>(route, { body }));
    }
  } catch (cause) {
    error = describe(cause);
  }
  const end = performance.now();
  const tokens = usage?.completion_tokens ?? 0;
  const [first, last] = [arrivals[0], arrivals.at(-1)];
  const server = serverTimings(timings, tokens);
  return {
    kind,
    latencyMs: end - due,
    ...(first !== undefined && { ttftMs: first - due }),
    ...(first !== undefined &&
      last !== undefined &&
      tokens > 1 && { interTokenMs: (last - first) / (tokens - 1) }),
    gapsMs: arrivals.slice(1).map((at, i) => at - arrivals[i]!),
    promptTokens: usage?.prompt_tokens ?? 0,
    cachedTokens: usage?.prompt_tokens_details?.cached_tokens ?? 0,
    tokens,
    ...(server && { server }),
    ...(error !== undefined && { error }),
  };
}

/** `429 rate_limit_exceeded`: short enough to be counted by. */
function describe(error: unknown): string {
  if (error instanceof OpenAI.APIError && error.status !== undefined)
    return `${error.status} ${error.code ?? error.type ?? ''}`.trim();
  return error instanceof Error ? error.message : String(error);
}
