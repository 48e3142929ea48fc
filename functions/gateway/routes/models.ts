import type { Context } from 'hono';
import { modelDetails } from '../model-details.ts';
import type { ModelRegistry, ServedName } from '../model-registry.ts';

/** GET /v1/models. Needs no loaded model. */
export function listModels(models: ModelRegistry) {
  return (c: Context) => c.json({ object: 'list', data: models.names.map(describe) });
}

/** GET /v1/models/{id}, with what the model consists of. */
export function getModel(models: ModelRegistry) {
  return async (c: Context) => {
    const id = c.req.param('id') ?? '';
    const service = models.require(id);
    const foldgate = await modelDetails(service);
    return c.json({ ...describe({ id, service }), ...(foldgate && { foldgate }) });
  };
}

/** `root` is vLLM's word for what an alias stands for. */
function describe({ id, service }: ServedName) {
  const alias = id === service.name ? {} : { root: service.name };
  return { id, object: 'model', created: service.created, owned_by: 'foldgate', ...alias };
}
