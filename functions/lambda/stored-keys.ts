import { FoldgateError, NotFoundError } from '../../artifact/errors.ts';
import type { Store } from '../../artifact/store/store.ts';
import { ApiKeys } from '../gateway/access/api-keys.ts';
import { parseKeyFile } from '../gateway/access/key-file.ts';

/** The object beside the models that has the keys, as `foldgate keys` writes them to a file. */
export const keysObject = 'api-keys';

/** Bytes. Thousands of keys. */
const maxBytes = 1024 * 1024;

/** API keys that lie in the store, so that they change without a new deployment. */
export class StoredKeys {
  readonly keys = new ApiKeys([]);
  readonly #store: Store;
  #reading: Promise<void> | undefined;

  constructor(store: Store) {
    this.#store = store;
  }

  /** Resolves once there are keys; after a failure the next call tries again. @throws FoldgateError */
  async ready(): Promise<void> {
    if (this.keys.size > 0) return;
    this.#reading ??= this.refresh().finally(() => {
      this.#reading = undefined;
    });
    await this.#reading;
  }

  /** Reads them anew. Those that were read before stay where that fails. @throws FoldgateError */
  async refresh(): Promise<void> {
    const where = `${this.#store.url}/${keysObject}`;
    const advice = `Make one (foldgate keys add NAME --file ${keysObject}) and copy the file there.`;
    try {
      const text = new TextDecoder().decode(await this.#store.read(keysObject, { maxBytes }));
      const entries = parseKeyFile(text, where);
      if (entries.length === 0) throw new FoldgateError(`${where} has no key. ${advice}`);
      this.keys.replace(entries);
    } catch (cause) {
      if (!(cause instanceof NotFoundError)) throw cause;
      throw new FoldgateError(`There is no ${where}, so nobody may ask. ${advice}`, { cause });
    }
  }
}
