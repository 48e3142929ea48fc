import type { Context } from 'hono';
import type { ModelRegistry } from '../model-registry.ts';

/** GET /healthz: the process lives. */
export function healthz(c: Context) {
  return c.json({ status: 'ok' });
}

/** GET /readyz: 200 only when the first model can answer. */
export function readyz(models: ModelRegistry, closing: AbortSignal) {
  return (c: Context) => {
    if (closing.aborted) return c.json({ status: 'closed', reason: (closing.reason as Error).message }, 503);
    const service = models.first;
    if (!service) return c.json({ status: 'failed', reason: 'There is no model in the store.' }, 503);
    // Also where it made room for others: it is loaded again for whoever asks.
    if (service.answers) return c.json({ status: 'ready' });
    const before = service.state;
    // A server that is not ready gets no requests, so the probe itself must be the next try.
    service.load().catch(() => {});
    const { state } = before.state === 'unloaded' ? service.state : before;
    return c.json({ status: state, ...('reason' in before && { reason: before.reason }) }, 503);
  };
}
