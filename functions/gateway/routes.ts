import type { Gateway } from './gateway.ts';
import { countTokens } from './messages/count-tokens.ts';
import { messages } from './messages/messages.ts';
import { countTokensSchema } from './messages/schema.ts';
import { responses } from './responses/responses.ts';
import type { Route } from './route.ts';
import { chat } from './routes/chat.ts';
import { completions } from './routes/completions.ts';
import { embeddings, embeddingsSchema } from './routes/embeddings.ts';
import { generation } from './routes/generation.ts';
import { healthz, readyz } from './routes/health.ts';
import { getModel, listModels } from './routes/models.ts';
import { detokenize, detokenizeSchema } from './tokens/detokenize.ts';
import { tokenize, tokenizeSchema } from './tokens/tokenize.ts';

/** Every address the gateway answers at. Dispatch, 405 answers and documentation all come from this table. */
export function routesOf(gateway: Gateway): Route[] {
  const { models, inFlight } = gateway;
  return [
    {
      method: 'POST',
      path: '/v1/chat/completions',
      summary: "Answers messages, through the model's own chat template",
      body: chat.schema,
      handler: generation(chat, gateway),
    },
    {
      method: 'POST',
      path: '/v1/completions',
      summary: 'Goes on from a text',
      body: completions.schema,
      handler: generation(completions, gateway),
    },
    {
      method: 'POST',
      path: '/v1/responses',
      summary: "Answers, as OpenAI's Responses API does",
      body: responses.schema,
      handler: generation(responses, gateway),
    },
    {
      method: 'POST',
      path: '/v1/messages',
      summary: "Answers messages, as Anthropic's API does",
      body: messages.schema,
      handler: generation(messages, gateway),
    },
    {
      method: 'POST',
      path: '/v1/messages/count_tokens',
      summary: "A conversation's tokens, as Anthropic's API counts them",
      body: countTokensSchema,
      handler: countTokens(gateway),
    },
    {
      method: 'POST',
      path: '/v1/embeddings',
      summary: 'Refused: these models generate text',
      body: embeddingsSchema,
      handler: embeddings(gateway),
    },
    {
      method: 'POST',
      path: '/tokenize',
      summary: "A text's tokens, or a conversation's",
      body: tokenizeSchema,
      handler: tokenize(gateway),
    },
    {
      method: 'POST',
      path: '/detokenize',
      summary: 'The text of tokens',
      body: detokenizeSchema,
      handler: detokenize(gateway),
    },
    {
      method: 'GET',
      path: '/v1/models',
      summary: 'Lists the models, loaded or not',
      handler: listModels(models),
    },
    {
      method: 'GET',
      path: '/v1/models/:id',
      summary: 'Describes a model',
      handler: getModel(models),
    },
    {
      method: 'GET',
      path: '/healthz',
      open: true,
      summary: 'Tells that the process lives',
      handler: healthz,
    },
    {
      method: 'GET',
      path: '/readyz',
      open: true,
      summary: 'Tells whether the model can answer',
      handler: readyz(models, inFlight.closing),
    },
  ];
}
