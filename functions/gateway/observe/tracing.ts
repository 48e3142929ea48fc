import {
  type Attributes,
  type Context,
  ROOT_CONTEXT,
  SpanKind,
  SpanStatusCode,
  trace,
} from '@opentelemetry/api';
import { FoldgateError } from '../../../artifact/errors.ts';
import type { RequestObserver } from './observer.ts';
import { latencyOf, type RequestRecord } from './request-record.ts';

export interface Traces extends RequestObserver, AsyncDisposable {}

export interface TracesOptions {
  /** The collector's address; traces go to its path `/v1/traces`. */
  url: string;
  version: string;
}

/**
 * A span for each request, to an OpenTelemetry collector (OTLP over HTTP), with the attributes of the conventions for
 * generative AI; part of the trace that the client's `traceparent` names. Prompts and answers are not in it.
 * @throws FoldgateError where the packages are not installed
 */
export async function otlpTraces({ url, version }: TracesOptions): Promise<Traces> {
  const { sdk, exporter, resources } = await packages();
  const provider = new sdk.TracerProvider({
    resource: resources.resourceFromAttributes({ 'service.name': 'foldgate', 'service.version': version }),
    spanProcessors: [
      new sdk.BatchSpanProcessor({
        exporter: new exporter.OTLPTraceExporter({ url: `${url.replace(/\/$/, '')}/v1/traces` }),
      }),
    ],
  });
  const tracer = provider.getTracer('foldgate', version);
  return {
    begin({ method, route, header, requestId }) {
      const span = tracer.startSpan(
        `${method} ${route}`,
        {
          kind: SpanKind.SERVER,
          attributes: {
            'http.request.method': method,
            'http.route': route,
            'foldgate.request_id': requestId,
          },
        },
        parentOf(header),
      );
      return {
        end(record) {
          span.setAttributes(attributesOf(record));
          if (record.generation) span.updateName(`${record.generation.operation} ${record.generation.model}`);
          if (record.status >= 500 || (record.error && record.status === 200)) {
            span.setStatus({ code: SpanStatusCode.ERROR, ...(record.error && { message: record.error }) });
          }
          span.end();
        },
      };
    },
    async [Symbol.asyncDispose]() {
      await provider.shutdown().catch(() => {}); // a collector that is away keeps nobody from stopping
    },
  };
}

const needed = '@opentelemetry/sdk-trace @opentelemetry/exporter-trace-otlp-http @opentelemetry/resources';

async function packages() {
  try {
    const [sdk, exporter, resources] = await Promise.all([
      import('@opentelemetry/sdk-trace'),
      import('@opentelemetry/exporter-trace-otlp-http'),
      import('@opentelemetry/resources'),
    ]);
    return { sdk, exporter, resources };
  } catch (cause) {
    throw new FoldgateError(`--traces needs further packages: npm install ${needed}`, { cause });
  }
}

/** The client's trace, by the W3C's header: version, trace, span, flags. */
function parentOf(header: (name: string) => string | undefined): Context {
  const [, traceId, spanId, flags] =
    /^[\da-f]{2}-([\da-f]{32})-([\da-f]{16})-([\da-f]{2})/.exec(header('traceparent') ?? '') ?? [];
  if (!traceId || !spanId) return ROOT_CONTEXT;
  const parent = { traceId, spanId, traceFlags: Number.parseInt(flags!, 16), isRemote: true };
  return trace.setSpanContext(ROOT_CONTEXT, parent);
}

function attributesOf({ status, error, generation }: RequestRecord): Attributes {
  const http = { 'http.response.status_code': status, ...(error !== undefined && { 'error.type': error }) };
  if (!generation) return http;
  const [first] = generation.completions;
  const latency = first && latencyOf(generation, first);
  const seconds = latency && latency.firstToken / 1000;
  return {
    ...http,
    'gen_ai.operation.name': generation.operation,
    'gen_ai.provider.name': 'foldgate',
    'gen_ai.request.model': generation.model,
    'gen_ai.request.max_tokens': generation.maxTokens,
    'gen_ai.request.choice.count': generation.choices,
    'gen_ai.usage.input_tokens': generation.promptTokens,
    'gen_ai.usage.output_tokens': generation.completionTokens,
    'gen_ai.usage.cache_read.input_tokens': generation.cachedTokens,
    'gen_ai.response.finish_reasons': generation.completions.map(({ finish }) => finish),
    ...(seconds !== undefined && { 'gen_ai.server.time_to_first_token': seconds }),
  };
}
