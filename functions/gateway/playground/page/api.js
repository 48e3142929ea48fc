import { eventData } from './events.js';
import { keep, kept } from './kept.js';

/**
 * @typedef {object} ModelDetails what `GET /v1/models/{id}` tells in `foldgate`
 * @property {string} state
 * @property {boolean} chat
 * @property {number} [context_length]
 * @property {string} [architecture]
 * @property {Layer[]} [layers]
 * @property {number} [distinct_blocks]
 * @property {{original: number, folded: number}} [parameters]
 * @property {number} [bytes]
 * @property {Record<string, {bits: number, block_size?: number}>} [quantization]
 *
 * @typedef {{index: number, source: number, block: number, half?: 'attention' | 'mlp', patch?: boolean}} Layer
 *
 * @typedef {object} Usage
 * @property {number} prompt_tokens
 * @property {number} completion_tokens
 * @property {{cached_tokens?: number}} [prompt_tokens_details]
 *
 * @typedef {{queue_ms: number, prefill_ms: number, decode_ms: number, tokens_per_second?: number}} Timings
 *
 * @typedef {object} Chunk one event of a stream of completions or chat
 * @property {{text?: string, delta?: {content?: string | null}, finish_reason?: string | null}[]} choices
 * @property {Usage | null} [usage]
 * @property {Timings} [timings]
 */

/** An answer other than success, in the server's own words. */
export class ApiFailure extends Error {
  /** @override */
  name = 'ApiFailure';

  /**
   * @param {string} message
   * @param {{status?: number, code?: string | null, param?: string | null, requestId?: string | null}} [details]
   */
  constructor(message, { status, code, param, requestId } = {}) {
    super(message);
    this.status = status;
    this.code = code;
    this.param = param;
    this.requestId = requestId;
  }
}

/** The server that this page came from. */
export class Api {
  /** Where the server is: a reverse proxy may have it below a path. */
  base = new URL('.', document.baseURI).href;

  #key = kept('sessionStorage', 'key') ?? '';

  /** Kept in this tab alone, until it is closed. */
  get key() {
    return this.#key;
  }

  set key(key) {
    this.#key = key;
    keep('sessionStorage', 'key', key === '' ? undefined : key);
  }

  /** @returns {Promise<{id: string, root?: string}[]>} */
  async models() {
    const { data } = await (await this.#get('v1/models')).json();
    return data;
  }

  /** @param {string} id @returns {Promise<ModelDetails | undefined>} */
  async details(id) {
    const { foldgate } = await (await this.#get(`v1/models/${encodeURIComponent(id)}`)).json();
    return foldgate;
  }

  /** What Prometheus reads. @throws {ApiFailure} where the server has none, or does not let us */
  async metrics() {
    return await (await this.#get('metrics')).text();
  }

  /**
   * @param {import('./request.js').ApiRequest} request
   * @param {{signal: AbortSignal, onHeaders: (headers: Headers) => void}} options
   * @returns {AsyncGenerator<Chunk>}
   */
  async *stream({ path, body }, { signal, onHeaders }) {
    const init = { method: 'POST', body: JSON.stringify(body), signal };
    const response = await this.#fetch(path, init);
    onHeaders(response.headers);
    if (!response.body) throw new ApiFailure('The server sent an empty answer.');
    for await (const data of eventData(response.body)) {
      if (data === '[DONE]') return;
      const chunk = JSON.parse(data);
      if (chunk.error) throw new ApiFailure(chunk.error.message, chunk.error);
      yield chunk;
    }
    throw new ApiFailure('The connection ended before the answer did.');
  }

  /** @param {string} path */
  #get(path) {
    return this.#fetch(path, {});
  }

  /**
   * @param {string} path
   * @param {RequestInit} init
   */
  async #fetch(path, init) {
    const headers = new Headers();
    if (init.body) headers.set('content-type', 'application/json');
    if (this.key !== '') headers.set('authorization', `Bearer ${this.key}`);
    const response = await fetch(this.base + path, { ...init, headers }).catch((error) => {
      if (init.signal?.aborted) throw error;
      throw new ApiFailure('The server does not answer. Is it still running?');
    });
    if (!response.ok) throw await failureOf(response);
    return response;
  }
}

/** @param {Response} response */
async function failureOf(response) {
  const { status, headers } = response;
  const requestId = headers.get('x-request-id');
  const body = await response.json().catch(() => undefined);
  const error = body?.error ?? { message: `The server answered with status ${status}.` };
  const wait = headers.get('retry-after');
  const message = wait === null ? error.message : `${error.message} (In ${wait} s at the earliest.)`;
  return new ApiFailure(message, { ...error, status, requestId });
}
