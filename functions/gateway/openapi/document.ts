import { z } from 'zod';
import { isAnthropic } from '../error-answer.ts';
import type { Route } from '../route.ts';
import { anthropicErrorAnswer, openaiErrorAnswer } from './answers.ts';
import { examples } from './examples.ts';
import { parameters } from './parameters.ts';

/** A JSON schema of the 2020-12 draft, as far as this document uses it. */
export interface JsonSchema {
  type?: string | string[];
  properties?: Record<string, JsonSchema>;
  required?: string[];
  items?: JsonSchema;
  anyOf?: JsonSchema[];
  oneOf?: JsonSchema[];
  enum?: unknown[];
  const?: unknown;
  minimum?: number;
  maximum?: number;
  exclusiveMinimum?: number;
  default?: unknown;
  description?: string;
}

interface Media {
  schema: JsonSchema;
  example?: unknown;
}

export interface Operation {
  operationId: string;
  tags: string[];
  summary: string;
  security?: [];
  description?: string;
  parameters?: { name: string; in: 'path'; required: true; schema: JsonSchema }[];
  requestBody?: { required: true; content: { 'application/json': Media } };
  responses: Record<string, { description: string; content: Record<string, Media> }>;
}

export interface OpenApiDocument {
  openapi: '3.1.0';
  info: { title: string; version: string; description: string };
  servers: { url: string }[];
  security: Record<string, string[]>[];
  tags: { name: string }[];
  components: { securitySchemes: Record<string, object> };
  paths: Record<string, Partial<Record<'get' | 'post', Operation>>>;
}

/** The OpenAPI document of these routes: bodies as the handlers check them, by the same schemas. */
export function openApiDocument(routes: readonly Route[]): OpenApiDocument {
  const paths: OpenApiDocument['paths'] = {};
  for (const route of routes) {
    const path = route.path.replace(/:(\w+)/g, '{$1}');
    paths[path] = { ...paths[path], [route.method.toLowerCase()]: operationOf(route) };
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'Foldgate',
      version: '1',
      description: 'Folded language models, behind the interfaces that clients know.',
    },
    servers: [{ url: '/' }],
    // A server without keys takes any, or none.
    security: [{ bearer: [] }, { key: [] }, {}],
    tags: [...new Set(routes.map(({ tag }) => tag))].map((name) => ({ name })),
    components: {
      securitySchemes: {
        bearer: { type: 'http', scheme: 'bearer' },
        key: { type: 'apiKey', in: 'header', name: 'x-api-key' },
      },
    },
    paths,
  };
}

function operationOf(route: Route): Operation {
  const { method, path, tag, summary, open, body, refused = [] } = route;
  const places = [...path.matchAll(/:(\w+)/g)].map(([, name]) => name!);
  const schema = body && bodySchema(body);
  const example = examples[path];
  return {
    operationId:
      method.toLowerCase() + path.replace(/\W+(\w?)/g, (_, letter: string) => letter.toUpperCase()),
    tags: [tag],
    summary,
    ...(open && { security: [] }),
    ...(refused.length > 0 && {
      description: `Refused by name, unless they ask for nothing: ${refused.join(', ')}.`,
    }),
    ...(places.length > 0 && {
      parameters: places.map((name) => ({ name, in: 'path', required: true, schema: { type: 'string' } })),
    }),
    ...(schema && {
      requestBody: {
        required: true,
        content: { 'application/json': { schema, ...(example && { example }) } },
      },
    }),
    responses: {
      200: { description: 'Success', content: answerContent(route, schema) },
      default: {
        description: 'Anything else',
        content: { 'application/json': { schema: schemaOf(route.failure ?? errorAnswerOf(path)) } },
      },
    },
  };
}

function bodySchema(body: z.ZodType): JsonSchema {
  const schema = schemaOf(body);
  for (const [name, property] of Object.entries(schema.properties ?? {})) {
    const description = parameters[name];
    if (description !== undefined) property.description = description;
  }
  return schema;
}

function answerContent({ answer }: Route, body: JsonSchema | undefined): Record<string, Media> {
  if (typeof answer === 'string') return { [answer]: { schema: { type: 'string' } } };
  const streamed = body?.properties?.stream && { 'text/event-stream': { schema: {} } };
  return { 'application/json': { schema: answer ? schemaOf(answer) : {} }, ...streamed };
}

function errorAnswerOf(path: string): z.ZodType {
  return isAnthropic(path) ? anthropicErrorAnswer : openaiErrorAnswer;
}

/** What a client sends, before defaults are filled in. */
function schemaOf(type: z.ZodType): JsonSchema {
  const { $schema: _, ...schema } = z.toJSONSchema(type, {
    io: 'input',
    override({ jsonSchema }) {
      const { fallback } = jsonSchema;
      delete jsonSchema.fallback;
      if (fallback !== undefined) jsonSchema.default = fallback as typeof jsonSchema.default;
    },
  });
  return schema as JsonSchema;
}
