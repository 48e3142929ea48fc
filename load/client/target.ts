import { FoldgateError } from '../../artifact/errors.ts';
import type { Scenario } from '../scenario/scenario.ts';
import type { Target } from './open-loop.ts';
import { openaiClient } from './send.ts';

/** The served model where none is named, and a request to begin with: the first one pays for what is lazy. */
export async function findTarget({
  url,
  model,
  apiKey,
}: Omit<Target, 'model'> & { model?: string | undefined }) {
  const client = openaiClient(url, apiKey);
  const found = model ?? (await firstModel());
  await client.completions.create({ model: found, prompt: 'The', max_tokens: 1 });
  const chat = client.chat.completions.create({
    model: found,
    messages: [{ role: 'user', content: 'Hello' }],
    max_tokens: 1,
  });
  const chats = await chat.then(
    () => true,
    (error) => {
      if (error?.code === 'chat_not_supported') return false;
      throw error;
    },
  );
  return { target: { url, model: found, apiKey }, chats };

  async function firstModel(): Promise<string> {
    const { data } = await client.models.list().catch((cause) => {
      throw new FoldgateError(`${url} does not answer. Start a gateway first: foldgate serve.`, { cause });
    });
    if (data[0] === undefined) throw new FoldgateError(`${url} serves no model. Name one with --model.`);
    return data[0].id;
  }
}

/** A base model has no chat: the same texts then go through completions. */
export function asCompletions(scenario: Scenario): Scenario {
  return { ...scenario, endpoint: 'completions' };
}
