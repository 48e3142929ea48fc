import { createRequire } from 'node:module';
import type { Counter, Gauge, Histogram, Registry } from 'prom-client';

/**
 * Only these four parts: the package as a whole also brings cluster support, a push client and OpenTelemetry, which
 * take a tenth of a second of a server's start.
 */
const require = createRequire(import.meta.url);
type Client = typeof import('prom-client');
const CounterOf: Client['Counter'] = require('prom-client/lib/counter');
const GaugeOf: Client['Gauge'] = require('prom-client/lib/gauge');
const HistogramOf: Client['Histogram'] = require('prom-client/lib/histogram');
const RegistryOf: Client['Registry'] = require('prom-client/lib/registry');

export type { Counter, Gauge, Histogram };

/** A registry, and what makes metrics in it. Labels are `model_name` unless others are named. */
export class MetricSet {
  readonly #registry: Registry = new RegistryOf();

  get contentType(): string {
    return this.#registry.contentType;
  }

  text(): Promise<string> {
    return this.#registry.metrics();
  }

  counter(name: string, help: string, labelNames = byModel): Counter {
    return new CounterOf({ name, help, labelNames, registers: [this.#registry] });
  }

  gauge(name: string, help: string, labelNames = byModel): Gauge {
    return new GaugeOf({ name, help, labelNames, registers: [this.#registry] });
  }

  histogram(name: string, help: string, buckets: number[], labelNames = byModel): Histogram {
    return new HistogramOf({ name, help, buckets, labelNames, registers: [this.#registry] });
  }

  /** Looked up when metrics are read. @param type as readers see it: a number that something else counts up is a counter */
  reading(name: string, help: string, type: 'gauge' | 'counter', read: () => number): void {
    const gauge: Gauge = new GaugeOf({
      name,
      help,
      registers: [this.#registry],
      collect: () => gauge.set(read()),
    });
    asType(gauge, type);
  }
}

/** To whoever reads it, a gauge that only ever grows is a counter. */
export function asType(gauge: Gauge, type: 'gauge' | 'counter'): void {
  (gauge as unknown as { type: string }).type = type;
}

const byModel = ['model_name'];
