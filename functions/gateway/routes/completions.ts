import type { TextRequest } from '../../model/generate.ts';
import type { LoadedModel } from '../../model/loaded-model.ts';
import { encodePrompt } from '../../model/prompt.ts';
import { detokenize } from '../../text/detokenizer.ts';
import { type CompletionBody, completionSchema } from '../schemas/completion.ts';
import { samplingOf } from '../schemas/fields.ts';
import { refusedInCompletions } from '../schemas/refused.ts';
import { requireKnownTokens } from '../schemas/token-ids.ts';
import { completionShape } from '../shapes.ts';
import type { Endpoint } from './generation.ts';

/** POST /v1/completions: text goes on. */
export const completions: Endpoint<CompletionBody> = {
  schema: completionSchema,
  refusals: refusedInCompletions,
  completions: ({ n, prompt }) => n * prompt.length,
  async prepare(body, model) {
    const prompts: Prompt[] = [];
    for (const prompt of body.prompt) prompts.push(await promptOf(model, prompt));
    const requests = prompts.flatMap((prompt) =>
      Array.from(
        { length: body.n },
        (_, choice): TextRequest => ({
          prompt: prompt.tokens,
          promptParam: 'prompt',
          echo: body.echo ? prompt.text() : '',
          maxTokens: body.max_tokens,
          sampling: samplingOf(body, choice),
          stop: body.stop,
          ignoreEos: body.ignore_eos,
          continues: prompt.hasText,
          stream: body.stream,
        }),
      ),
    );
    return { requests, prompts: prompts.map((prompt) => prompt.tokens), shape: completionShape };
  },
};

interface Prompt {
  tokens: number[];
  /** Something for the completion to go on from: more than control tokens. */
  hasText: boolean;
  text(): string;
}

async function promptOf(model: LoadedModel, prompt: string | number[]): Promise<Prompt> {
  if (typeof prompt === 'string') {
    const tokens = await encodePrompt(model, prompt, { param: 'prompt', addSpecialTokens: true });
    return { tokens, hasText: prompt !== '', text: () => prompt };
  }
  requireKnownTokens(model, prompt, 'prompt');
  const hasText = prompt.some((id) => model.tokenizer.addedKind(id) !== 'special');
  return { tokens: prompt, hasText, text: () => detokenize(model.pieces, prompt) };
}
