import { describe, expect, it } from 'vitest';
import { requestOf } from '../../../functions/lambda/event.ts';

const { signal } = new AbortController();

describe('an event of a function URL', () => {
  const event = {
    rawPath: '/v1/models/a%20b',
    rawQueryString: 'x=1&x=2',
    headers: { authorization: 'Bearer k', 'x-name': 'Zoë', accept: 'a,b' },
    cookies: ['one=1', 'two=2'],
    requestContext: { domainName: 'abc.on.aws', http: { method: 'GET' } },
  };

  it('becomes the request that the client sent', () => {
    const request = requestOf(event, signal);
    expect(request.url).toBe('https://abc.on.aws/v1/models/a%20b?x=1&x=2');
    expect(request.method).toBe('GET');
    expect(Object.fromEntries(request.headers)).toEqual({
      accept: 'a,b',
      authorization: 'Bearer k',
      cookie: 'one=1; two=2',
      'x-name': 'Zo%C3%AB',
    });
  });

  it.each([
    ['as text', { body: '{"prompt":"ü"}' }],
    ['as base64', { body: Buffer.from('{"prompt":"ü"}').toString('base64'), isBase64Encoded: true }],
  ])('has its body %s', async (_how, body) => {
    const requestContext = { http: { method: 'POST' } };
    expect(await requestOf({ ...event, requestContext, ...body }, signal).json()).toEqual({ prompt: 'ü' });
  });

  it('has no body where the method has none', () => {
    expect(requestOf({ ...event, body: 'x' }, signal).body).toBe(null);
  });
});

describe('an event of a REST proxy', () => {
  it('becomes the request that the client sent', async () => {
    const request = requestOf(
      {
        path: '/v1/completions',
        httpMethod: 'POST',
        multiValueHeaders: { Authorization: ['Bearer k'], 'X-Two': ['1', '2'] },
        multiValueQueryStringParameters: { x: ['a b', '&'] },
        body: '{}',
        requestContext: { domainName: 'abc.amazonaws.com' },
      },
      signal,
    );
    expect(request.url).toBe('https://abc.amazonaws.com/v1/completions?x=a+b&x=%26');
    expect(request.headers.get('x-two')).toBe('1, 2');
    expect(await request.text()).toBe('{}');
  });
});

it('refuses any other event by what it has', () => {
  expect(() => requestOf({ Records: [] } as never, signal)).toThrow(/one with Records came/);
});

it('ends with its signal, for its reason', () => {
  const controller = new AbortController();
  const path = { rawPath: '/', requestContext: { http: { method: 'GET' } } };
  const request = requestOf(path, controller.signal);
  const reason = new Error('time is up');
  controller.abort(reason);
  expect(request.signal.reason).toBe(reason);
});
