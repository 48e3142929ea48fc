import { byteProgress } from './progress.ts';

/** Fetches a checkpoint from the hub, showing the progress. @returns the path to open */
export async function pullWithProgress(
  spec: string,
  options: { to?: string | undefined; gguf?: string | undefined; signal: AbortSignal },
): Promise<string> {
  const { pullCheckpoint } = await import('../compressor/checkpoint/pull/pull.ts');
  const show = byteProgress();
  try {
    const onNotice = (message: string) => process.stderr.write(`${message}\n`);
    return await pullCheckpoint(spec, { ...options, onProgress: show.update, onNotice });
  } finally {
    show.finish();
  }
}
