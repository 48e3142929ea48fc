import type { Store } from './store.ts';
import { parseModelUrl, parseStoreUrl } from './url.ts';

/**
 * Opens the store at `url` with the driver its scheme asks for. Drivers are loaded when they are needed:
 * the S3 client costs more than the rest of the command line.
 * @throws UsageError for a URL no driver knows.
 */
export async function openStore(url: string): Promise<Store> {
  const location = parseStoreUrl(url);
  if (location.kind === 'file') {
    const { FileStore } = await import('./file.ts');
    return new FileStore(location.folder);
  }
  const { openS3Store } = await import('./s3-store.ts');
  return await openS3Store(location);
}

/**
 * Opens the store that a model's URL points into.
 * @throws UsageError
 */
export async function openModelUrl(url: string): Promise<{ store: Store; name: string }> {
  const { storeUrl, name } = parseModelUrl(url);
  return { store: await openStore(storeUrl), name };
}
