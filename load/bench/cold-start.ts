import { setTimeout as sleep } from 'node:timers/promises';
import { openaiClient, send } from '../client/send.ts';
import { type Contender, serverOf } from '../peers/contenders.ts';
import { freePort, type StartedServer, startServer } from '../peers/process.ts';
import { plannedRequest } from '../scenario/requests.ts';
import type { Scenario } from '../scenario/scenario.ts';
import { scenario } from './load-round.ts';

/** A prompt that takes no time worth speaking of: what is measured is the start. */
const oneLine: Scenario = {
  ...scenario,
  prompts: [{ name: 'line', share: 1, words: [8, 8], sharedWords: 0, maxTokens: 2 }],
};

/** Milliseconds between two tries to reach a server that does not listen yet, or is not ready. */
const retryMs = 5;

/**
 * From the start of the process to the first token of a streamed completion, with the model on the local disk
 * and its pages in memory: what an engine itself takes. Milliseconds.
 */
export async function coldStart(
  contender: Contender,
  { programs, threads }: { programs: string; threads: string },
): Promise<number> {
  const port = await freePort();
  const limits = { slots: 1, context: 1024 };
  const command = serverOf(contender, { programs, port, threads, limits });
  const server = startServer(command);
  try {
    return (await firstToken(server, command.url, command.model)).firstTokenMs;
  } finally {
    await server.stop();
  }
}

export interface FirstToken {
  /** From the start of the process. */
  firstTokenMs: number;
  /** Of that, reading the prompt, by the server's own account; NaN where it gives none. */
  prefillMs: number;
  /** Tokens of the prompt, and of those the ones that the server had not to compute. */
  promptTokens: number;
  cachedTokens: number;
}

/**
 * Asks until there is an answer: one server waits with it until its model is loaded, another refuses meanwhile.
 * @param asked whose first request it is. @default a short one
 */
export async function firstToken(
  server: StartedServer,
  url: string,
  model: string,
  asked: Scenario = oneLine,
): Promise<FirstToken> {
  const client = openaiClient(url);
  const request = plannedRequest(asked, 0, model);
  for (;;) {
    const outcome = await send(client, request, server.startedAt);
    const { error, ttftMs, promptTokens, cachedTokens } = outcome;
    if (ttftMs !== undefined) {
      const prefillMs = outcome.server?.ttftMs ?? Number.NaN;
      return { firstTokenMs: ttftMs, prefillMs, promptTokens, cachedTokens };
    }
    if (!server.alive) throw new Error(`The server at ${url} ended before its first token: ${error}`);
    await sleep(retryMs);
  }
}
