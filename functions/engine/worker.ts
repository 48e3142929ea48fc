import { setImmediate as nextEvents, setTimeout as sleep } from 'node:timers/promises';
import { parentPort, workerData } from 'node:worker_threads';
import { Decoder } from '../../artifact/decoder/decoder.ts';
import { useHugePages } from '../../artifact/onnxruntime/huge-pages.ts';
import { returnFreedMemory } from '../../artifact/onnxruntime/library.ts';
import type { FromWorker, ToWorker, WorkerOptions } from './messages.ts';
import { Scheduler } from './scheduler.ts';

/** The engine's thread: the runtime's calls are synchronous and would block the HTTP thread. */

const port = parentPort!;
const options = workerData as WorkerOptions;
const send = (message: FromWorker) => port.postMessage(message);

try {
  const decoder = new Decoder(options.decoder);
  returnFreedMemory();
  // The model's memory is the process's, not the thread's: it has to be given back, also where the thread
  // ends by an error.
  process.once('exit', () => decoder[Symbol.dispose]());
  const scheduler = new Scheduler(decoder, options.decoder.vocabularySize, options.slots, {
    onChunk: (id, chunk) => send({ type: 'chunk', id, chunk }),
    onError: (id, error) => send({ type: 'error', id, message: error.message }),
  });
  port.on('message', (message: ToWorker) => {
    if (message.type === 'generate') scheduler.add(message.id, message.request);
    else if (message.type === 'cancel') scheduler.cancel(message.id);
    else process.exit(); // messages are read between two steps, so the model is idle
  });
  send({ type: 'ready' });
  // After that, as it takes a while; where sequences are at work, it leaves them nine tenths of the time.
  void useHugePages(() => (scheduler.busy ? sleep(30) : nextEvents())).catch(() => {});
} catch (error) {
  send({ type: 'failed', message: (error as Error).message });
  port.close();
}
