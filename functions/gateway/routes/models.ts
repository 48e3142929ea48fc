import type { Context } from 'hono';
import type { ModelService } from '../model-service.ts';
import { requireModel } from './generation.ts';

/** GET /v1/models. Needs no loaded model. */
export function listModels(service: ModelService) {
  return (c: Context) => c.json({ object: 'list', data: [describe(service)] });
}

/** GET /v1/models/{id}. */
export function getModel(service: ModelService) {
  return (c: Context) => {
    requireModel(service.name, c.req.param('id') ?? '');
    return c.json(describe(service));
  };
}

function describe(service: ModelService) {
  return { id: service.name, object: 'model', created: service.created, owned_by: 'foldgate' };
}
