import { FoldgateError } from '../errors.ts';
import type { Store } from './store.ts';
import type { StoreLocation } from './url.ts';

export async function openS3Store(location: StoreLocation & { kind: 's3' }): Promise<Store> {
  throw new FoldgateError(`s3://${location.bucket} cannot be opened yet.`);
}
