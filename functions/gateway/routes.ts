import type { Gateway } from './gateway.ts';
import { countTokens } from './messages/count-tokens.ts';
import { messages } from './messages/messages.ts';
import { countTokensSchema } from './messages/schema.ts';
import type { Metrics } from './observe/metrics.ts';
import * as answers from './openapi/answers.ts';
import { docsPage, openApi } from './openapi/handlers.ts';
import { playgroundFile, playgroundPage } from './playground/playground.ts';
import { countInputTokens } from './responses/count-tokens.ts';
import { responses } from './responses/responses.ts';
import { inputTokensSchema } from './responses/schema.ts';
import type { Route } from './route.ts';
import { chat } from './routes/chat.ts';
import { completions } from './routes/completions.ts';
import { embeddings, embeddingsSchema } from './routes/embeddings.ts';
import { type CommonFields, type Endpoint, generation } from './routes/generation.ts';
import { healthz, readyz } from './routes/health.ts';
import { metricsOf } from './routes/metrics.ts';
import { getModel, listModels } from './routes/models.ts';
import { applyTemplate, applyTemplateSchema } from './tokens/apply-template.ts';
import { detokenize, detokenizeSchema } from './tokens/detokenize.ts';
import { tokenize, tokenizeSchema } from './tokens/tokenize.ts';

/** Every address the gateway answers at. Dispatch, 405 answers and documentation all come from this table. */
export function routesOf(gateway: Gateway): Route[] {
  const { models, inFlight, metrics } = gateway;
  const generates = <Body extends CommonFields>(endpoint: Endpoint<Body>) => ({
    method: 'POST' as const,
    tag: 'Text' as const,
    body: endpoint.schema,
    refused: Object.keys(endpoint.refusals),
    handler: generation(endpoint, gateway),
  });
  const routes: Route[] = [
    {
      path: '/v1/chat/completions',
      summary: "Answers messages, through the model's own chat template",
      answer: answers.chatAnswer,
      ...generates(chat),
    },
    {
      path: '/v1/completions',
      summary: 'Goes on from a text',
      answer: answers.completionAnswer,
      ...generates(completions),
    },
    {
      path: '/v1/responses',
      summary: "Answers, as OpenAI's Responses API does",
      answer: answers.responseAnswer,
      ...generates(responses),
    },
    {
      path: '/v1/messages',
      summary: "Answers messages, as Anthropic's API does",
      answer: answers.messageAnswer,
      ...generates(messages),
    },
    {
      method: 'POST',
      path: '/v1/responses/input_tokens',
      tag: 'Tokens',
      summary: "An input's tokens, as OpenAI's Responses API counts them",
      body: inputTokensSchema,
      answer: answers.inputTokensAnswer,
      handler: countInputTokens(gateway),
    },
    {
      method: 'POST',
      path: '/v1/messages/count_tokens',
      tag: 'Tokens',
      summary: "A conversation's tokens, as Anthropic's API counts them",
      body: countTokensSchema,
      answer: answers.countAnswer,
      handler: countTokens(gateway),
    },
    {
      method: 'POST',
      path: '/tokenize',
      tag: 'Tokens',
      summary: "A text's tokens, or a conversation's",
      body: tokenizeSchema,
      answer: answers.tokenizeAnswer,
      handler: tokenize(gateway),
    },
    {
      method: 'POST',
      path: '/detokenize',
      tag: 'Tokens',
      summary: 'The text of tokens',
      body: detokenizeSchema,
      answer: answers.detokenizeAnswer,
      handler: detokenize(gateway),
    },
    {
      method: 'POST',
      path: '/apply-template',
      tag: 'Tokens',
      summary: 'A conversation as the model reads it',
      body: applyTemplateSchema,
      answer: answers.promptAnswer,
      handler: applyTemplate(gateway),
    },
    {
      method: 'GET',
      path: '/v1/models',
      tag: 'Models',
      summary: 'Lists the models, loaded or not',
      answer: answers.modelsAnswer,
      handler: listModels(models),
    },
    {
      method: 'GET',
      path: '/v1/models/:id',
      tag: 'Models',
      summary: 'Describes a model, and what it consists of',
      answer: answers.describedModelAnswer,
      handler: getModel(models),
    },
    {
      method: 'POST',
      path: '/v1/embeddings',
      tag: 'Models',
      summary: 'Always refused: these models generate text',
      body: embeddingsSchema,
      handler: embeddings(gateway),
    },
    {
      method: 'GET',
      path: '/healthz',
      tag: 'Server',
      open: true,
      summary: 'Tells that the process lives',
      answer: answers.statusAnswer,
      handler: healthz,
    },
    {
      method: 'GET',
      path: '/readyz',
      tag: 'Server',
      open: true,
      summary: 'Tells whether the first model can answer',
      answer: answers.statusAnswer,
      failure: answers.statusAnswer,
      handler: readyz(models, inFlight.closing),
    },
    {
      method: 'GET',
      path: '/health',
      tag: 'Server',
      open: true,
      summary: "As /readyz, under llama.cpp's and vLLM's name",
      answer: answers.statusAnswer,
      failure: answers.statusAnswer,
      handler: readyz(models, inFlight.closing),
    },
    {
      method: 'GET',
      path: '/openapi.json',
      tag: 'Server',
      open: true,
      summary: 'This interface as an OpenAPI document',
      handler: openApi(() => routes),
    },
    {
      method: 'GET',
      path: '/docs',
      tag: 'Server',
      open: true,
      summary: 'This interface as a page, to read and to try',
      answer: 'text/html',
      handler: docsPage(() => routes),
    },
    {
      method: 'GET',
      path: '/',
      tag: 'Server',
      open: true,
      summary: 'The playground: a page to try the models with',
      answer: 'text/html',
      handler: playgroundPage,
    },
    {
      method: 'GET',
      path: '/playground/:file',
      tag: 'Server',
      open: true,
      summary: 'What the playground consists of',
      answer: 'text/plain',
      handler: playgroundFile,
    },
    ...(metrics ? [metricsRoute(gateway, metrics)] : []),
  ];
  return routes;
}

function metricsRoute(gateway: Gateway, metrics: Metrics): Route {
  return {
    method: 'GET',
    path: '/metrics',
    tag: 'Server',
    open: true,
    summary: 'Numbers for Prometheus',
    answer: 'text/plain',
    handler: metricsOf(gateway, metrics),
  };
}
