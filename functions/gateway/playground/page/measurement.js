/** Milliseconds. The speed shown while tokens come is that of this last while. */
const windowMs = 1000;

/** Tokens that it takes to tell a speed. */
const leastTokens = 2;

/** How one answer comes: what can be told while it does, and what the server tells at its end. */
export class Measurement {
  #begun = performance.now();
  /** @type {{at: number, tokens: number}[]} */
  #seen = [];
  tokens = 0;
  /** Milliseconds from sending the request to the first text. @type {number | undefined} */
  firstTokenMs;
  /** Milliseconds that the server took to load the model, before anything else. */
  loadMs = 0;
  /** @type {string | undefined} */
  finish;
  /** @type {import('./api.js').Usage | undefined} */
  usage;
  /** @type {import('./api.js').Timings | undefined} */
  timings;

  /** @param {Headers} headers of the answer */
  noteHeaders(headers) {
    const load = /(?:^|, )load;dur=([\d.]+)/.exec(headers.get('server-timing') ?? '');
    if (load) this.loadMs = Number(load[1]);
  }

  /** @param {import('./api.js').Chunk} chunk @returns {string} the text that came with it */
  note({ choices, usage, timings }) {
    const choice = choices[0];
    const text = choice?.text ?? choice?.delta?.content ?? '';
    const now = performance.now();
    if (text !== '') this.firstTokenMs ??= now - this.#begun;
    // Quick models send several tokens at once; a server that does not count them for us leaves a guess.
    this.tokens = usage?.completion_tokens ?? this.tokens + (text === '' ? 0 : 1);
    if (usage) this.usage = usage;
    this.timings = timings ?? this.timings;
    this.finish = choice?.finish_reason ?? this.finish;
    this.#seen.push({ at: now, tokens: this.tokens });
    while (this.#seen.length > 2 && now - /** @type {{at: number}} */ (this.#seen[1]).at > windowMs)
      this.#seen.shift();
    return text;
  }

  /** Of the last while; of the whole answer, the first token left out, once the server has told. */
  get tokensPerSecond() {
    if (this.timings?.tokens_per_second !== undefined) return this.timings.tokens_per_second;
    const [first, last] = [this.#seen[0], this.#seen.at(-1)];
    if (!first || !last || last.at === first.at || this.tokens < leastTokens) return undefined;
    return ((last.tokens - first.tokens) * 1000) / (last.at - first.at);
  }
}
