import { prose } from './prose.ts';
import { randomFrom } from './random.ts';
import type { PromptKind, Scenario } from './scenario.ts';

/** The stream of numbers that the shared beginning is drawn from; requests count from 0. */
const sharedStream = -1;

export interface PlannedRequest {
  kind: string;
  /** Below the server's URL. */
  path: string;
  body: Record<string, unknown>;
}

/**
 * The scenario's request number `index`: the same whoever asks, so that every client sends the same load.
 * The text never ends before `maxTokens`: what is measured must not depend on what the model has to say.
 */
export function plannedRequest(scenario: Scenario, index: number, model: string): PlannedRequest {
  const random = randomFrom(scenario.seed, index);
  const kind = drawn(scenario.prompts, random());
  const [fewest, most] = kind.words;
  const own = prose(fewest + Math.floor(random() * (most - fewest + 1)), random);
  const shared = sharedText(scenario, kind);
  const common = {
    model,
    max_tokens: kind.maxTokens,
    temperature: 0,
    ignore_eos: true,
    stream: scenario.stream,
    ...(scenario.stream && { stream_options: { include_usage: true } }),
  };
  if (scenario.endpoint === 'completions') {
    const prompt = shared === '' ? own : `${shared}\n\n${own}`;
    return { kind: kind.name, path: '/v1/completions', body: { ...common, prompt } };
  }
  const messages = [
    ...(shared === '' ? [] : [{ role: 'system', content: shared }]),
    { role: 'user', content: own },
  ];
  return { kind: kind.name, path: '/v1/chat/completions', body: { ...common, messages } };
}

/** What all requests of a kind begin with; '' where that is nothing. */
export function sharedText({ seed }: Scenario, { sharedWords }: PromptKind): string {
  return prose(sharedWords, randomFrom(seed, sharedStream));
}

function drawn(kinds: readonly PromptKind[], at: number): PromptKind {
  let left = at * kinds.reduce((sum, { share }) => sum + share, 0);
  for (const kind of kinds) {
    left -= kind.share;
    if (left < 0) return kind;
  }
  return kinds.at(-1)!;
}
