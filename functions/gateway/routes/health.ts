import type { Context } from 'hono';
import type { ModelService } from '../model-service.ts';

/** GET /healthz: the process lives. */
export function healthz(c: Context) {
  return c.json({ status: 'ok' });
}

/** GET /readyz: 200 only when the model can answer. */
export function readyz(service: ModelService, closing: AbortSignal) {
  return (c: Context) => {
    if (closing.aborted) return c.json({ status: 'closed', reason: (closing.reason as Error).message }, 503);
    const { state } = service;
    if (state.state === 'ready') return c.json({ status: 'ready' });
    // A server that is not ready gets no requests, so the probe itself must be the next try.
    if (state.state === 'failed') service.load().catch(() => {});
    return c.json({ status: state.state, ...('reason' in state && { reason: state.reason }) }, 503);
  };
}
