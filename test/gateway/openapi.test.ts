import { Validator } from '@seriousme/openapi-schema-validator';
import { describe, expect, it } from 'vitest';
import type { Gateway } from '../../functions/gateway/gateway.ts';
import { InFlight } from '../../functions/gateway/in-flight.ts';
import * as answers from '../../functions/gateway/openapi/answers.ts';
import type { JsonSchema, OpenApiDocument } from '../../functions/gateway/openapi/document.ts';
import { examples } from '../../functions/gateway/openapi/examples.ts';
import { routesOf } from '../../functions/gateway/routes.ts';
import { startGateway } from '../fixtures/gateway.ts';
import { toolTemplate } from '../fixtures/tool-template.ts';

const start = () => startGateway((model) => () => model.tokens('Hi there'), { template: toolTemplate });

async function documentOf({ server }: { server: { url: string } }): Promise<OpenApiDocument> {
  const response = await fetch(`${server.url}/openapi.json`);
  expect(response.status).toBe(200);
  return (await response.json()) as OpenApiDocument;
}

const routes = routesOf({ inFlight: new InFlight() } as Gateway);
const withBody = routes.filter((route) => route.body).map(({ path }) => path);

/** What is refused although it is documented, and how: some models can do it. */
const refusals: Record<string, string> = {
  '/v1/embeddings': 'embeddings_not_supported',
  suffix: 'suffix_not_supported',
};

/** Fields that are allowed only beside others, or without others. */
const companions: Record<string, object> = {
  stream_options: { stream: true },
  top_logprobs: { logprobs: true },
  prompt: { content: null },
  messages: { content: null },
  continue_final_message: {
    messages: [
      { role: 'user', content: 'Hi' },
      { role: 'assistant', content: 'Well' },
    ],
  },
};

/** Fields of which one alone is allowed. */
const samples: Record<string, unknown> = { structured_outputs: { regex: 'a' } };

/** A value that the schema takes. */
function sample(schema: JsonSchema): unknown {
  if (schema.const !== undefined) return schema.const;
  if (schema.enum) return schema.enum[0];
  const choices = schema.anyOf ?? schema.oneOf;
  if (choices) return sample(choices[0]!);
  switch ([schema.type].flat()[0]) {
    case 'string':
      return 'a';
    case 'boolean':
      return true;
    case 'integer':
      return Math.max(schema.minimum ?? 1, 1);
    case 'number':
      return Math.min(schema.maximum ?? 1, 1);
    case 'array':
      return [sample(schema.items!)];
    default:
      return Object.fromEntries(
        Object.entries(schema.properties ?? {}).map(([name, property]) => [name, sample(property)]),
      );
  }
}

describe('GET /openapi.json', () => {
  it('is a valid OpenAPI 3.1 document', async () => {
    const document = await documentOf(await start());
    const result = await new Validator().validate(document as never);
    expect(result.errors).toBeUndefined();
    expect(result.valid).toBe(true);
    expect(document.openapi).toBe('3.1.0');
  });

  it('has every route, and no other', async () => {
    const { paths } = await documentOf(await start());
    const documented = Object.entries(paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => `${method.toUpperCase()} ${path.replace(/\{(\w+)\}/g, ':$1')}`),
    );
    expect(documented.sort()).toEqual(routes.map(({ method, path }) => `${method} ${path}`).sort());
    const ids = Object.values(paths).flatMap((methods) =>
      Object.values(methods).map(({ operationId }) => operationId),
    );
    expect(new Set(ids).size).toBe(ids.length);
  });

  it.each(withBody)(
    'describes every field of POST %s, and the server takes each as described',
    async (path) => {
      const gateway = await start();
      const { post } = (await documentOf(gateway)).paths[path]!;
      const { schema, example } = post!.requestBody!.content['application/json'];
      const names = Object.keys(schema.properties!);
      expect(names.length).toBeGreaterThan(1);
      const base = { ...(example as object), model: 'tales', stream: false };
      for (const name of names) {
        const property = schema.properties![name]!;
        expect(property.description, name).toMatch(/^\w.*\.$/);
        const value =
          name in examples[path]! ? base[name as keyof typeof base] : (samples[name] ?? sample(property));
        const body = { ...base, ...companions[name], [name]: value };
        const response = await gateway.post(path, body);
        const text = await response.text();
        const refusal = refusals[path] ?? refusals[name];
        if (refusal) expect(text).toContain(refusal);
        else expect(response.status, `${name}: ${JSON.stringify(value)} ${text}`).toBe(200);
      }
    },
  );

  it.each(withBody)('says which fields POST %s cannot do without', async (path) => {
    const gateway = await start();
    const { post } = (await documentOf(gateway)).paths[path]!;
    const { schema } = post!.requestBody!.content['application/json'];
    for (const name of schema.required ?? []) {
      const { [name]: _, ...rest } = { ...examples[path], model: 'tales' } as Record<string, unknown>;
      const response = await gateway.post(path, rest);
      expect(response.status, name).toBe(400);
      expect(await response.text()).toContain(name);
    }
  });

  it('says the defaults', async () => {
    const { paths } = await documentOf(await start());
    const { properties } = paths['/v1/completions']!.post!.requestBody!.content['application/json'].schema;
    expect(properties).toMatchObject({
      temperature: { description: expect.stringContaining('generation_config.json says, else 1') },
      max_tokens: { default: 16 },
      echo: { default: false },
      stop: { default: [] },
    });
    expect(properties!.seed).not.toHaveProperty('default');
    expect(JSON.stringify(paths)).not.toContain('fallback');
  });

  it('says what answers look like', async () => {
    const gateway = await start();
    for (const { method, path, answer } of routes) {
      if (answer === undefined || typeof answer === 'string') continue;
      const body = JSON.stringify({ ...examples[path], model: 'tales', stream: false });
      const url = gateway.server.url + path.replace(':id', 'tales');
      const response = await fetch(url, method === 'POST' ? { method, body } : {});
      expect(response.status, path).toBe(200);
      expect(response.headers.get('content-type')).toMatch(/^application\/json/);
      expect(answer.safeParse(await response.json()).error, path).toBeUndefined();
    }
  });

  it('says what errors look like', async () => {
    const gateway = await start();
    for (const path of withBody) {
      const error = await (await gateway.post(path, {})).json();
      const shape = path.startsWith('/v1/messages')
        ? answers.anthropicErrorAnswer
        : answers.openaiErrorAnswer;
      expect(shape.safeParse(error).error, path).toBeUndefined();
    }
  });
});

describe('GET /docs', () => {
  it('has every route, field and example, and loads nothing', async () => {
    const gateway = await start();
    const response = await fetch(`${gateway.server.url}/docs`);
    expect(response.headers.get('content-type')).toMatch(/^text\/html/);
    expect(response.headers.get('content-security-policy')).toContain("default-src 'none'");
    const text = await response.text();
    for (const { path } of routes) expect(text).toContain(`<code>${path.replace(/:(\w+)/g, '{$1}')}</code>`);
    const { paths } = await documentOf(gateway);
    for (const path of withBody) {
      const { schema } = paths[path]!.post!.requestBody!.content['application/json'];
      for (const name of Object.keys(schema.properties!)) expect(text).toContain(`<code>${name}</code>`);
    }
    expect(text.match(/<textarea/g)).toHaveLength(withBody.length);
    expect(text).not.toMatch(/(src|href)="(https?:)?\/\//);
    expect(text.split('<script>')[0]).not.toMatch(/\[object|undefined|NaN/);
  });
});
