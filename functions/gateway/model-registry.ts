import { ApiError } from './errors.ts';
import type { ModelService } from './model-service.ts';

/** Names shown in an error; a shared store can hold thousands. */
const namesShown = 20;

/** A name that requests may use, and the model it means. */
export interface ServedName {
  id: string;
  service: ModelService;
}

/** The models a gateway serves, by the names that requests use. */
export class ModelRegistry implements AsyncDisposable {
  readonly #names = new Map<string, ModelService>();

  /** The names, in the order they were added. */
  get names(): ServedName[] {
    return [...this.#names].map(([id, service]) => ({ id, service }));
  }

  /** Every model once, however many names it has. */
  get services(): ModelService[] {
    return [...new Set(this.#names.values())];
  }

  /** The model that readiness is about. */
  get first(): ModelService | undefined {
    return this.#names.values().next().value;
  }

  add(id: string, service: ModelService): void {
    this.#names.set(id, service);
  }

  /** Requests under way go on; the caller disposes of the service. */
  remove(id: string): void {
    this.#names.delete(id);
  }

  find(id: string): ModelService | undefined {
    return this.#names.get(id);
  }

  /** @param id the first model where it is left out. @throws ApiError 404 telling the names that there are */
  require(id: string | undefined): ModelService {
    const service = id === undefined ? this.first : this.#names.get(id);
    if (service) return service;
    const names = [...this.#names.keys()];
    const more = names.length > namesShown ? ` and ${names.length - namesShown} more` : '';
    const there = names.length === 0 ? 'no model' : names.slice(0, namesShown).join(', ') + more;
    throw new ApiError(
      404,
      `The model ${JSON.stringify(id ?? '')} does not exist here; this server has ${there}.`,
      {
        param: 'model',
        code: 'model_not_found',
      },
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.services.map((service) => service[Symbol.asyncDispose]()));
  }
}

/** A registry of one model under its own name. */
export function registryOf(service: ModelService): ModelRegistry {
  const models = new ModelRegistry();
  models.add(service.name, service);
  return models;
}
