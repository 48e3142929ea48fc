import { fillInMiddle } from '../../model/fill-in-middle.ts';
import type { TextRequest } from '../../model/generate.ts';
import type { LoadedModel } from '../../model/loaded-model.ts';
import { encodePrompt } from '../../model/prompt.ts';
import { detokenize } from '../../text/detokenizer.ts';
import { bestOf } from '../best-of.ts';
import type { Choice } from '../choices.ts';
import {
  type CompletionBody,
  completionSchema,
  completionsOf,
  completionsPerPrompt,
  reportsPrompt,
} from '../schemas/completion.ts';
import { requireKnownFields, samplingOf, textOptionsOf } from '../schemas/fields.ts';
import { refusedInCompletions } from '../schemas/refused.ts';
import { grammarOf, structureOf } from '../schemas/structured.ts';
import { requireKnownTokens } from '../schemas/token-ids.ts';
import { completionShape } from '../shapes.ts';
import type { Endpoint } from './generation.ts';

/** POST /v1/completions: text goes on. */
export const completions: Endpoint<CompletionBody> = {
  schema: completionSchema,
  refusals: refusedInCompletions,
  operation: 'text_completion',
  completions: completionsOf,
  async prepare(body, model) {
    requireKnownFields(model, body);
    const structure = structureOf(body);
    const grammar = structure && grammarOf(structure);
    const prompts: Prompt[] = [];
    for (const prompt of body.prompt) prompts.push(await promptOf(model, prompt, body.suffix));
    const made = completionsPerPrompt(body);
    const choosing = made > body.n;
    const requests = prompts.flatMap((prompt) => {
      const options = textOptionsOf(body);
      return Array.from(
        { length: made },
        (_, choice): TextRequest => ({
          prompt: prompt.tokens,
          promptParam: 'prompt',
          echo: body.echo ? prompt.text() : '',
          maxTokens: body.max_tokens,
          sampling: samplingOf(model, body, choice),
          ...options,
          grammar,
          stopTokens: [...options.stopTokens, ...(body.ignore_eos ? [] : prompt.ends)],
          continues: prompt.hasText,
          logprobs: body.logprobs ?? (choosing ? 0 : undefined),
          reportStop: true,
          promptLogprobs: reportsPrompt(body),
        }),
      );
    });
    return {
      requests,
      prompts: prompts.map((prompt) => prompt.tokens),
      shape: completionShape,
      ...(choosing && { select: selection(body, prompts) }),
    };
  },
};

/** The best ones, with log probabilities only where those were asked for. */
function selection(body: CompletionBody, prompts: readonly Prompt[]) {
  const kept = body.n;
  // Whatever is told of the prompt says nothing of a completion.
  const skipped = prompts.map(({ tokens }) => (reportsPrompt(body) ? tokens.length : 0));
  return (choices: Choice[]): Choice[] => {
    const best = bestOf(choices, { kept, skipped });
    return body.logprobs === undefined ? best.map(({ logprobs: _, ...choice }) => choice) : best;
  };
}

interface Prompt {
  tokens: number[];
  /** End the completion, beside what ends every text. */
  ends: readonly number[];
  /** Something for the completion to go on from: more than control tokens. */
  hasText: boolean;
  text(): string;
}

async function promptOf(model: LoadedModel, prompt: string | number[], suffix: string): Promise<Prompt> {
  if (typeof prompt !== 'string') requireKnownTokens(model, prompt, 'prompt');
  const text = () => (typeof prompt === 'string' ? prompt : detokenize(model.pieces, prompt));
  if (suffix !== '') return { ...(await fillInMiddle(model, prompt, suffix)), hasText: true, text };
  if (typeof prompt === 'string') {
    const tokens = await encodePrompt(model, prompt, { param: 'prompt', addSpecialTokens: true });
    return { tokens, ends: [], hasText: prompt !== '', text };
  }
  const hasText = prompt.some((id) => model.tokenizer.addedKind(id) !== 'special');
  return { tokens: prompt, ends: [], hasText, text };
}
