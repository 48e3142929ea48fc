import { byId, svg } from './dom.js';
import { bytesText, durationText, percentText, threeDigits } from './numbers.js';
import { leastLoadMs } from './output.js';

/** Speeds that the curve has room for. */
const curvePoints = 40;

/** Fewer say nothing of how it goes. */
const leastPoints = 4;

/** Milliseconds between two of them. */
const curveStepMs = 100;

const none = '–';

/** The row of numbers below the text: speed, first token, memory, prompt cache. */
export class Instruments {
  #curve = byId('curve', SVGSVGElement);
  /** @type {number[]} */
  #speeds = [];
  #drawnAt = 0;

  /** A new answer. */
  begin() {
    byId('instruments', HTMLElement).hidden = false;
    this.#speeds = [];
    this.#set('speed', none, 'tokens/s');
    this.#set('first', none);
    this.#note('first', '');
    this.#draw();
  }

  /** @param {import('./measurement.js').Measurement} measurement */
  show(measurement) {
    const { tokensPerSecond: speed, firstTokenMs } = measurement;
    if (speed !== undefined) this.#set('speed', threeDigits(speed), 'tokens/s');
    if (firstTokenMs !== undefined) this.#set('first', ...split(durationText(firstTokenMs)));
    const now = performance.now();
    if (speed === undefined || now - this.#drawnAt < curveStepMs) return;
    this.#drawnAt = now;
    this.#speeds = [...this.#speeds, speed].slice(-curvePoints);
    this.#draw();
  }

  /** @param {import('./measurement.js').Measurement} measurement */
  end(measurement) {
    this.show(measurement);
    const { timings, usage, loadMs, firstTokenMs } = measurement;
    if (timings && firstTokenMs !== undefined) {
      const { queue_ms: queue, prefill_ms: prompt } = timings;
      // Beside a load nothing else counts.
      const phases = loadMs >= leastLoadMs ? { load: loadMs } : { queue, prompt };
      const parts = Object.entries(phases).map(([phase, ms]) => `${phase} ${durationText(ms)}`);
      this.#note('first', parts.join(', '));
    }
    const cached = usage?.prompt_tokens_details?.cached_tokens;
    if (!usage || cached === undefined) return;
    this.#set('cache', ...split(percentText(cached / Math.max(1, usage.prompt_tokens))));
    this.#note('cache', `${cached} of ${usage.prompt_tokens} prompt tokens`);
  }

  /** @param {import('./metrics.js').ServerNumbers} numbers */
  showServer({ memoryBytes, kvBytes, cacheShare }) {
    byId('memory', HTMLElement).hidden = memoryBytes === undefined;
    if (memoryBytes !== undefined) this.#set('memory', ...split(bytesText(memoryBytes)));
    if (kvBytes !== undefined) this.#note('memory', kvBytes > 0 ? `KV cache ${bytesText(kvBytes)}` : '');
    const share = cacheShare === undefined ? '' : `Of all prompts: ${percentText(cacheShare)}`;
    byId('cache', HTMLElement).title = share;
  }

  /** @param {string} id @param {string} value @param {string} [unit] */
  #set(id, value, unit = '') {
    byId(id, HTMLElement).querySelector('.value')?.replaceChildren(value);
    byId(id, HTMLElement).querySelector('.unit')?.replaceChildren(unit);
  }

  /** @param {string} id @param {string} text */
  #note(id, text) {
    byId(id, HTMLElement).querySelector('.note')?.replaceChildren(text);
  }

  #draw() {
    const most = Math.max(...this.#speeds, 1);
    const points = this.#speeds.map(
      (speed, i) => `${((i / (curvePoints - 1)) * 100).toFixed(1)},${(22 - (speed / most) * 20).toFixed(1)}`,
    );
    const line = svg('polyline', { points: points.join(' ') });
    this.#curve.replaceChildren(...(points.length < leastPoints ? [] : [line]));
  }
}

/** @param {string} text @returns {[string, string]} number and unit */
function split(text) {
  const [value = '', unit = ''] = text.split(' ');
  return [value, unit];
}
