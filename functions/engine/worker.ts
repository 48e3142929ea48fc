import { once } from 'node:events';
import { setImmediate as nextEvents, setTimeout as sleep } from 'node:timers/promises';
import { parentPort, workerData } from 'node:worker_threads';
import { Decoder } from '../../artifact/decoder/decoder.ts';
import { bytesPerToken, cacheForm, type DecoderOptions } from '../../artifact/decoder/decoder-options.ts';
import { snapshotOf } from '../../artifact/decoder/kv-snapshot.ts';
import { useHugePages } from '../../artifact/onnxruntime/huge-pages.ts';
import { library, returnFreedMemory } from '../../artifact/onnxruntime/library.ts';
import { forgetProgramText } from '../../artifact/onnxruntime/program-text.ts';
import type { FromWorker, SequenceResult, ToWorker, WorkerOptions } from './messages.ts';
import { ModelRows } from './model-rows.ts';
import { VocabularyWeights } from './sampling/vocabulary-weights.ts';
import { Scheduler } from './scheduler.ts';
import { DraftModel } from './speculation/draft-model.ts';

/** The engine's thread: the runtime's calls are synchronous and would block the HTTP thread. */

const port = parentPort!;
const options = workerData as WorkerOptions;
const send = (message: FromWorker) => port.postMessage(message);

let results: SequenceResult[] = [];

/** Results of one step leave together, when the step is over. */
function sendSoon(result: SequenceResult): void {
  if (results.push(result) > 1) return;
  queueMicrotask(() => {
    send({ type: 'results', results });
    results = [];
  });
}

try {
  library(options.decoder); // while the model's files are still arriving
  const [first] = (await once(port, 'message')) as [ToWorker];
  if (first.type !== 'open') process.exit();
  const decoder = new Decoder(options.decoder);
  const drafting = options.draft && new Decoder(options.draft);
  returnFreedMemory();
  // The model's memory is the process's, not the thread's: it has to be given back, also where the thread
  // ends by an error.
  const weights = new VocabularyWeights(options.decoder.vocabularySize);
  process.once('exit', () => {
    weights[Symbol.dispose]();
    decoder[Symbol.dispose]();
    drafting?.[Symbol.dispose]();
  });
  const { slots, prefixCacheBytes, speculation } = options;
  const { capacity = 0 } = options.draft?.cache ?? {};
  const draft =
    drafting &&
    new DraftModel(new ModelRows(drafting, 1), capacity, ({ message }) =>
      send({ type: 'draft failed', message }),
    );
  const scheduler = new Scheduler(
    new ModelRows(decoder, slots),
    { weights, prefixCacheBytes, speculation, draft },
    {
      onChunk: (id, chunk) => sendSoon({ id, chunk }),
      onError: (id, error) => sendSoon({ id, failure: error.message }),
      // The allocator keeps what dropped prefixes leave, for the next ones.
      onIdle: returnFreedMemory,
    },
  );
  const bytesOf = ({ cache }: DecoderOptions) => cache.capacity * bytesPerToken(cache);
  const rows = slots * bytesOf(options.decoder) + (options.draft ? bytesOf(options.draft) : 0);
  const sendStats = (id: number) =>
    send({ type: 'stats', id, stats: { ...scheduler.stats, kvLimitBytes: rows + prefixCacheBytes } });
  const keep = ({ id, tokens, memory }: Extract<ToWorker, { type: 'prefix' }>) => {
    const dropped = () => send({ type: 'dropped', id });
    try {
      scheduler.keep(tokens, snapshotOf(cacheForm(options.decoder.cache), tokens.length, memory), dropped);
    } catch {
      dropped(); // of another form: it is computed instead
    }
  };
  port.on('message', (message: ToWorker) => {
    if (message.type === 'generate') scheduler.add(message.id, message.request);
    else if (message.type === 'cancel') scheduler.cancel(message.id);
    else if (message.type === 'prefix') keep(message);
    else if (message.type === 'stats') sendStats(message.id);
    else process.exit(); // messages are read between two steps, so the model is idle
  });
  send({ type: 'ready' });
  // After that, as it takes a while; where sequences are at work, it leaves them nine tenths of the time.
  void useHugePages(() => (scheduler.busy ? sleep(30) : nextEvents()))
    .then(forgetProgramText)
    .catch(() => {});
} catch (error) {
  send({ type: 'failed', message: (error as Error).message });
  port.close();
}
