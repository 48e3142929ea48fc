import type { Context } from 'hono';
import type { Gateway } from '../gateway.ts';
import type { Metrics } from '../observe/metrics.ts';

/** GET /metrics, in Prometheus' text format. */
export function metricsOf({ models, inFlight }: Gateway, metrics: Metrics) {
  return async (c: Context): Promise<Response> => {
    const text = await metrics.text(models, (model) => inFlight.completionsOf(model));
    return c.body(text, 200, { 'content-type': metrics.contentType });
  };
}
