/**
 * The entry of the AWS Lambda function: one model of one store behind the gateway. Whatever requests an
 * environment gets, one after the other or (on managed instances) at once, they share the loaded model.
 */
import { openStore } from '../../artifact/store/open.ts';
import { createApp } from '../gateway/app.ts';
import { StoredModels } from '../gateway/stored-models.ts';
import { keepHeapSmall } from '../small-heap.ts';
import { ColdStart } from './cold-start.ts';
import { generationMetrics } from './generation-metrics.ts';
import { createHandler, type Invocation } from './handler.ts';
import { metricLine } from './metrics.ts';
import { readSettings } from './settings.ts';
import { StoredKeys } from './stored-keys.ts';

keepHeapSmall();
const settings = readSettings(process.env);
const { model: name } = settings;
const coldStart = new ColdStart();

// Past the runtime's own logging, whose prefix would hide the metrics in a line.
const print = (line: string) => process.stdout.write(`${line}\n`);
const onError = (error: unknown) => console.error(error);

// A connection to the Runtime API that breaks must not take the warm model with it.
process.on('unhandledRejection', onError);

const store = await openStore(settings.store);
const models = await StoredModels.open(store, {
  models: [{ id: name, name }],
  load: {
    threads: settings.threads,
    spinning: settings.spinning,
    slots: settings.slots,
    kvCache: settings.kvCache,
    promptWeights: settings.promptWeights,
    cacheFolder: settings.cacheFolder,
    ...(settings.contextLength && { contextLength: settings.contextLength }),
    onPhase: (phase) => coldStart.mark(phase),
  },
  memoryBytes: settings.modelBytes,
  refreshMs: 0, // between two requests a function stands still: time passes, timers do not
  onFailure: (_name, error) => onError(error),
  onPrefixFailure: (_name, error) => onError(error),
});
const service = models.require(name);
const access = settings.access === 'keys' ? new StoredKeys(store) : undefined;
const { app } = createApp(models, {
  keys: access?.keys,
  observers: [generationMetrics(print)],
  onError,
});

export const handler = createHandler(app, { onError, before, onInvocation: report });

coldStart.mark('init');
access?.ready().catch(() => {}); // the first request will tell
const loading = service.load();
// What fails here is told to every request, and the next one tries again.
if (settings.loadAtInit) await loading;
else loading.catch(() => {});

let refreshedAt = performance.now();

async function before(): Promise<void> {
  await access?.ready();
  if (performance.now() - refreshedAt < settings.refreshMs) return;
  refreshedAt = performance.now();
  // New versions and keys are looked for now and then; the request that comes meanwhile does not wait.
  access?.refresh().catch(onError);
  models.refresh().catch(onError);
}

function report(invocation: Invocation): void {
  const { requestId, path, status, streamed, begunAt, firstByteMs, durationMs, cut } = invocation;
  print(
    metricLine(
      name,
      {
        Requests: [1, 'Count'],
        ServerErrors: [status >= 500 ? 1 : 0, 'Count'],
        Cut: [cut ? 1 : 0, 'Count'],
        Duration: [durationMs, 'Milliseconds'],
        ...(firstByteMs !== undefined && { FirstByte: [firstByteMs, 'Milliseconds'] }),
      },
      { requestId, path, status },
    ),
  );
  if (streamed && firstByteMs !== undefined) coldStart.mark('first_token', begunAt + firstByteMs);
  const phases = coldStart.report();
  if (phases === undefined) return;
  const metrics = Object.entries(phases).map(([phase, ms]) => [`ColdStart_${phase}`, [ms, 'Milliseconds']]);
  print(metricLine(name, Object.fromEntries(metrics), { memory: process.memoryUsage.rss() }));
}
