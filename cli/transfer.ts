import { byteProgress } from './progress.ts';

/** Runs a transfer of `total` bytes and shows how far it is. `work` reports the bytes since its last call. */
export async function withTransfer<Result>(
  label: string,
  total: number,
  work: (onProgress: (bytes: number) => void) => Promise<Result>,
): Promise<Result> {
  const show = byteProgress();
  let done = 0;
  try {
    return await work((bytes) => {
      done += bytes;
      show.update(label, done, total);
    });
  } finally {
    show.finish();
  }
}
