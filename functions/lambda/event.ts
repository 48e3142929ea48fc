/** What AWS hands over for one HTTP request: a function URL (payload 2.0) or API Gateway's REST proxy (1.0). */
export type HttpEvent = FunctionUrlEvent | RestProxyEvent;

interface FunctionUrlEvent {
  rawPath: string;
  rawQueryString?: string;
  /** Several values of one header are joined by commas. */
  headers?: Record<string, string | undefined>;
  cookies?: string[];
  body?: string | null;
  isBase64Encoded?: boolean;
  requestContext: { domainName?: string; http: { method: string } };
}

interface RestProxyEvent {
  /** Without the stage. */
  path: string;
  httpMethod: string;
  multiValueHeaders?: Record<string, string[] | undefined> | null;
  multiValueQueryStringParameters?: Record<string, string[] | undefined> | null;
  body?: string | null;
  isBase64Encoded?: boolean;
  requestContext?: { domainName?: string };
}

/** The request that the event stands for. @throws TypeError where it is none */
export function requestOf(event: HttpEvent, signal: AbortSignal): Request {
  const { method, path, query, headers } = partsOf(event);
  const host = event.requestContext?.domainName ?? 'lambda.invalid';
  const hasBody = method !== 'GET' && method !== 'HEAD' && typeof event.body === 'string';
  return new Request(`https://${host}${path}${query === '' ? '' : `?${query}`}`, {
    method,
    headers,
    signal,
    ...(hasBody && { body: Buffer.from(event.body!, event.isBase64Encoded ? 'base64' : 'utf8') }),
  });
}

interface Parts {
  method: string;
  path: string;
  query: string;
  headers: Headers;
}

function partsOf(event: HttpEvent): Parts {
  if ('rawPath' in event) return ofFunctionUrl(event);
  if ('httpMethod' in event) return ofRestProxy(event);
  throw new TypeError(
    `An event of a function URL or of API Gateway's REST proxy was expected; one with ` +
      `${Object.keys(event).join(', ') || 'nothing'} came.`,
  );
}

function ofFunctionUrl(event: FunctionUrlEvent): Parts {
  const headers = new Headers();
  for (const [name, value] of Object.entries(event.headers ?? {})) append(headers, name, value);
  if (event.cookies?.length) append(headers, 'cookie', event.cookies.join('; '));
  return {
    method: event.requestContext.http.method,
    path: event.rawPath,
    query: event.rawQueryString ?? '',
    headers,
  };
}

function ofRestProxy(event: RestProxyEvent): Parts {
  const headers = new Headers();
  for (const [name, values] of Object.entries(event.multiValueHeaders ?? {})) {
    for (const value of values ?? []) append(headers, name, value);
  }
  const query = new URLSearchParams();
  for (const [name, values] of Object.entries(event.multiValueQueryStringParameters ?? {})) {
    for (const value of values ?? []) query.append(name, value);
  }
  return { method: event.httpMethod, path: event.path, query: query.toString(), headers };
}

/** HTTP takes Latin-1 alone; AWS hands over what clients sent as UTF-8. */
function append(headers: Headers, name: string, value: string | undefined): void {
  if (value === undefined) return;
  headers.append(name, /[^\x20-\x7e\t]/.test(value) ? encodeURIComponent(value) : value);
}
