import type { Store } from '../../artifact/store/store.ts';
import { hashKey, newKey } from '../../functions/gateway/access/api-keys.ts';
import { formatKeyFile } from '../../functions/gateway/access/key-file.ts';
import { keysObject } from '../../functions/lambda/stored-keys.ts';

/** Makes the store's first key. @returns the key, this once; undefined where there are keys already */
export async function makeFirstKey(store: Store): Promise<string | undefined> {
  const key = newKey();
  const created = new Date().toISOString();
  const file = formatKeyFile([{ name: 'first', hash: hashKey(key), created }]);
  const isNew = await store.write(keysObject, new TextEncoder().encode(file), { ifAbsent: true });
  return isNew ? key : undefined;
}
