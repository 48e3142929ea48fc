import { setTimeout as sleep } from 'node:timers/promises';
import { arrivalTimes } from '../scenario/arrivals.ts';
import { plannedRequest } from '../scenario/requests.ts';
import type { Scenario } from '../scenario/scenario.ts';
import type { Outcome } from './outcome.ts';
import { openaiClient, send } from './send.ts';

export interface Target {
  url: string;
  model: string;
  apiKey?: string | undefined;
}

export interface Run {
  outcomes: Outcome[];
  /** From the first request to the end of the last answer. */
  seconds: number;
}

/**
 * Sends a scenario's requests when they are due, whether or not earlier ones have been answered.
 * @param from number of the first request: a server that has seen a prompt may have kept what it computed
 */
export async function openLoop(scenario: Scenario, { url, model, apiKey }: Target, from = 0): Promise<Run> {
  const client = openaiClient(url, apiKey);
  const begin = performance.now();
  const pending: Promise<Outcome>[] = [];
  for (const [index, at] of arrivalTimes(scenario.arrivals, scenario.seed).entries()) {
    const due = begin + at;
    const request = plannedRequest(scenario, from + index, model);
    const wait = due - performance.now();
    if (wait > 0) await sleep(wait);
    pending.push(send(client, request, due));
  }
  return { outcomes: await Promise.all(pending), seconds: (performance.now() - begin) / 1000 };
}

/**
 * Keeps so many requests running: when one ends, the next begins.
 * @param requests altogether
 */
export async function closedLoop(
  scenario: Scenario,
  { url, model, apiKey }: Target,
  { streams, requests, from = 0 }: { streams: number; requests: number; from?: number },
): Promise<Run> {
  const client = openaiClient(url, apiKey);
  const begin = performance.now();
  const outcomes: Outcome[] = [];
  let next = from;
  const stream = async () => {
    while (next < from + requests) outcomes.push(await send(client, plannedRequest(scenario, next++, model)));
  };
  await Promise.all(Array.from({ length: streams }, stream));
  return { outcomes, seconds: (performance.now() - begin) / 1000 };
}
