/** What a deployment must do, seen from a client. */
export interface Deployment {
  /** With `/v1` at its end. */
  baseUrl: string;
  model: string;
  /** Undefined where requests are let in without. */
  key: string | undefined;
  /** Milliseconds for each answer; the first one waits for a cold start. */
  timeoutMs: number;
}

export interface CheckResult {
  name: string;
  /** What was seen, or what was wrong. */
  says: string;
  passed: boolean;
}

type Check = (deployment: Deployment) => Promise<string>;

/** A stream that comes in one part is asked for so often. */
const streamAttempts = 4;
/** Enough for the quickest model to have several parts. */
const streamTokens = 200;

/** By name, in order; each says what it saw, or throws what was wrong. */
const checks: Record<string, Check> = {
  'asks for a key': async (deployment) => {
    const response = await request({ ...deployment, key: undefined }, '/models');
    if (deployment.key === undefined) return 'not asked: no --key was given';
    expectStatus(response, 401);
    return 'no key, 401';
  },
  'refuses a wrong key': async (deployment) => {
    if (deployment.key === undefined) return 'not asked: no --key was given';
    expectStatus(await request({ ...deployment, key: 'fg-wrong' }, '/models'), 401);
    return 'wrong key, 401';
  },
  'has the model': async (deployment) => {
    const response = await request(deployment, '/models');
    expectStatus(response, 200);
    const { data } = (await response.json()) as { data: { id: string }[] };
    const ids = data.map(({ id }) => id);
    if (!ids.includes(deployment.model)) throw new Error(`it has ${ids.join(', ')}, not ${deployment.model}`);
    return ids.join(', ');
  },
  'answers (a cold start, where it was cold)': async (deployment) => {
    const begun = performance.now();
    const response = await complete(deployment, { max_tokens: 1 });
    expectStatus(response, 200);
    await response.json();
    return `${ms(performance.now() - begun)}, now it is warm`;
  },
  'answers as much as was asked for': async (deployment) => {
    const begun = performance.now();
    const response = await complete(deployment, { max_tokens: 32, ignore_eos: true });
    expectStatus(response, 200);
    const { usage } = (await response.json()) as { usage: { completion_tokens: number } };
    if (usage.completion_tokens !== 32)
      throw new Error(`${usage.completion_tokens} tokens came, 32 were asked for`);
    return `32 tokens in ${ms(performance.now() - begun)}`;
  },
  'streams as it goes': async (deployment) => {
    let arrivals: number[] = [];
    // A quick model's whole answer may come at once where this process is late to look; what buffers always does it.
    for (let attempt = 0; attempt < streamAttempts && arrivals.length < 3; attempt++)
      arrivals = await arrivalsOf(deployment);
    if (arrivals.length < 3)
      throw new Error(`all came in ${arrivals.length} part(s): something on the way buffers`);
    return `first part after ${ms(arrivals[0]!)}, last after ${ms(arrivals.at(-1)!)}, ${arrivals.length} parts`;
  },
  "errors have OpenAI's shape": async (deployment) => {
    const response = await complete({ ...deployment, model: 'no-such-model' }, {});
    expectStatus(response, 404);
    const { error } = (await response.json()) as { error?: { code?: string } };
    if (error?.code !== 'model_not_found') throw new Error(`the code is ${error?.code}, not model_not_found`);
    return '404 model_not_found';
  },
};

/** Every check, in order; a later one runs whatever the earlier ones found. */
export async function* checkDeployment(deployment: Deployment): AsyncGenerator<CheckResult> {
  for (const [name, check] of Object.entries(checks)) {
    try {
      yield { name, says: await check(deployment), passed: true };
    } catch (error) {
      const { message, cause } = error as Error;
      yield { name, says: cause instanceof Error ? `${message} (${cause.message})` : message, passed: false };
    }
  }
}

/** When each part of a streamed answer came, in milliseconds. */
async function arrivalsOf(deployment: Deployment): Promise<number[]> {
  const begun = performance.now();
  const response = await complete(deployment, { max_tokens: streamTokens, ignore_eos: true, stream: true });
  expectStatus(response, 200);
  const arrivals: number[] = [];
  let text = '';
  const decoder = new TextDecoder();
  for await (const chunk of response.body ?? []) {
    arrivals.push(performance.now() - begun);
    text += decoder.decode(chunk, { stream: true });
  }
  if (!text.endsWith('data: [DONE]\n\n'))
    throw new Error(`the stream ended with ${JSON.stringify(text.slice(-80))}`);
  return arrivals;
}

function complete(deployment: Deployment, body: object): Promise<Response> {
  const { model } = deployment;
  return request(deployment, '/completions', { model, prompt: 'Once upon a time', temperature: 0, ...body });
}

function request({ baseUrl, key, timeoutMs }: Deployment, path: string, body?: object): Promise<Response> {
  return fetch(baseUrl.replace(/\/$/, '') + path, {
    signal: AbortSignal.timeout(timeoutMs),
    headers: { 'content-type': 'application/json', ...(key && { authorization: `Bearer ${key}` }) },
    ...(body && { method: 'POST', body: JSON.stringify(body) }),
  });
}

function expectStatus({ status, url }: Response, expected: number): void {
  if (status !== expected) throw new Error(`${status} came from ${url}, ${expected} was expected`);
}

const ms = (value: number) => `${Math.round(value)} ms`;
