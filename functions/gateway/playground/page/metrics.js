import { ApiFailure } from './api.js';

/** Milliseconds between looks, while an answer comes and else. */
const busyMs = 1_000;
const idleMs = 10_000;

/**
 * @typedef {object} ServerNumbers each undefined where the server does not tell
 * @property {number | undefined} memoryBytes resident
 * @property {number | undefined} kvBytes of the model's KV cache
 * @property {number | undefined} cacheShare prompt tokens of the model that were read before, 0 to 1
 */

/**
 * The sum of a metric's samples that have these labels; undefined where there are none.
 * @param {string} text as Prometheus reads it
 * @param {string} name
 * @param {Readonly<Record<string, string>>} [labels]
 */
export function metricOf(text, name, labels = {}) {
  const wanted = Object.entries(labels).map(([label, value]) => `${label}=${JSON.stringify(value)}`);
  let sum;
  for (const line of text.split('\n')) {
    if (!line.startsWith(name)) continue;
    const [, given = '', value] = /^(?:\{(.*)\})? (\S+)/.exec(line.slice(name.length)) ?? [];
    if (value === undefined || !wanted.every((pair) => given.includes(pair))) continue;
    sum = (sum ?? 0) + Number(value);
  }
  return sum;
}

/** @param {string} text @param {string} model @returns {ServerNumbers} */
export function serverNumbers(text, model) {
  const labels = { model_name: model };
  const queries = metricOf(text, 'foldgate:prefix_cache_queries_total', labels);
  const hits = metricOf(text, 'foldgate:prefix_cache_hits_total', labels);
  return {
    memoryBytes: metricOf(text, 'process_resident_memory_bytes'),
    kvBytes: metricOf(text, 'foldgate:kv_cache_bytes', labels),
    cacheShare: queries && hits !== undefined ? hits / queries : undefined,
  };
}

/** Looks at the server's metrics again and again, as long as it has them and somebody sees the page. */
export class MetricsWatch {
  #api;
  #onText;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  /** The server has none, or not for us. */
  #refused = false;
  busy = false;

  /** @param {import('./api.js').Api} api @param {(text: string) => void} onText */
  constructor(api, onText) {
    this.#api = api;
    this.#onText = onText;
    document.addEventListener('visibilitychange', () => this.look());
  }

  /** Another key may be let in. */
  restart() {
    this.#refused = false;
    void this.look();
  }

  /** Now, and from now on. */
  async look() {
    clearTimeout(this.#timer);
    if (document.hidden || this.#refused) return;
    try {
      this.#onText(await this.#api.metrics());
    } catch (error) {
      this.#refused = error instanceof ApiFailure && error.status !== undefined && error.status < 500;
      if (this.#refused) return;
    }
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.look(), this.busy ? busyMs : idleMs);
  }
}
