import { engineGauges } from './engine-gauges.ts';
import type { Metrics } from './metrics.ts';
import { MetricSet } from './prometheus-client.ts';
import { type CompletionRecord, latencyOf, type RequestRecord } from './request-record.ts';

/** Seconds. vLLM's, and some below: small folded models are quicker. */
const firstTokenBuckets = [
  0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80,
];
const perTokenBuckets = [
  0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1, 2.5, 5, 10,
];
const requestBuckets = [
  0.05, 0.1, 0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240, 480, 960,
];
const loadBuckets = [0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80, 160, 320, 640];
const tokenBuckets = [1, 4, 16, 64, 256, 1024, 4096, 16384, 65536];

/**
 * Metrics named as vLLM's, with `foldgate:` before them; those that the Kubernetes Gateway API Inference Extension
 * reads also under vLLM's own names, and those that OpenTelemetry's conventions for generative AI have, under theirs.
 */
export function prometheusMetrics(): Metrics {
  const set = new MetricSet();
  const lookAtEngines = engineGauges(set);
  processMetrics(set);
  const answers = set.counter('foldgate:http_requests_total', 'Answered requests.', [
    'method',
    'route',
    'status',
  ]);
  const successes = set.counter('foldgate:request_success_total', 'Completions that ran to their end.', [
    'model_name',
    'finished_reason',
  ]);
  const failures = set.counter('foldgate:request_failure_total', 'Requests for completions that failed.', [
    'model_name',
    'code',
  ]);
  const promptTokens = set.counter('foldgate:prompt_tokens_total', 'Tokens of prompts.');
  const cachedTokens = set.counter(
    'foldgate:prompt_tokens_cached_total',
    'Tokens of prompts that had been read before.',
  );
  const madeTokens = set.counter('foldgate:generation_tokens_total', 'Tokens made.');
  const promptLength = set.histogram('foldgate:request_prompt_tokens', 'Tokens of a prompt.', tokenBuckets);
  const completionLength = set.histogram(
    'foldgate:request_generation_tokens',
    'Tokens of a completion.',
    tokenBuckets,
  );
  const firstToken = set.histogram(
    'foldgate:time_to_first_token_seconds',
    'From the request to the first token.',
    firstTokenBuckets,
  );
  const interToken = set.histogram(
    'foldgate:inter_token_latency_seconds',
    "Between a stream's tokens.",
    perTokenBuckets,
  );
  const perToken = set.histogram(
    'foldgate:request_time_per_output_token_seconds',
    "A completion's average, its first token left out.",
    perTokenBuckets,
  );
  const whole = set.histogram(
    'foldgate:e2e_request_latency_seconds',
    'From the request to its end.',
    requestBuckets,
  );
  const queue = set.histogram(
    'foldgate:request_queue_time_seconds',
    'Waiting for the model and a slot.',
    requestBuckets,
  );
  const prefill = set.histogram(
    'foldgate:request_prefill_time_seconds',
    'Reading the prompt.',
    requestBuckets,
  );
  const decode = set.histogram(
    'foldgate:request_decode_time_seconds',
    'Making the tokens after the first.',
    requestBuckets,
  );
  const load = set.histogram(
    'foldgate:model_load_seconds',
    'Loading a model, its blobs fetched.',
    loadBuckets,
  );
  const fetchedBytes = set.counter('foldgate:blob_fetched_bytes_total', 'Bytes that came from the store.', [
    'model_name',
    'kind',
  ]);
  const fetchTime = set.histogram('foldgate:blob_fetch_seconds', 'Fetching a blob.', loadBuckets, [
    'model_name',
    'kind',
  ]);

  const genAiLabels = ['gen_ai_operation_name', 'gen_ai_request_model'];
  const genAiDuration = set.histogram(
    'gen_ai_server_request_duration_seconds',
    'From the request to its end.',
    requestBuckets,
    [...genAiLabels, 'error_type'],
  );
  const genAiFirst = set.histogram(
    'gen_ai_server_time_to_first_token_seconds',
    'From the request to the first token.',
    firstTokenBuckets,
    genAiLabels,
  );
  const genAiPerToken = set.histogram(
    'gen_ai_server_time_per_output_token_seconds',
    'A token after the first.',
    perTokenBuckets,
    genAiLabels,
  );
  const genAiTokens = set.histogram('gen_ai_client_token_usage', 'Tokens of a request.', tokenBuckets, [
    ...genAiLabels,
    'gen_ai_token_type',
  ]);

  function noteCompletion(record: RequestRecord, completion: CompletionRecord): void {
    const { model, operation } = record.generation!;
    const labels = { model_name: model };
    const genAi = { gen_ai_operation_name: operation, gen_ai_request_model: model };
    successes.inc({ ...labels, finished_reason: completion.finish });
    completionLength.observe(labels, completion.tokens);
    const { timings } = completion;
    const latency = latencyOf(record.generation!, completion);
    if (!timings || !latency) return;
    const first = latency.firstToken / 1000;
    queue.observe(labels, latency.queue / 1000);
    prefill.observe(labels, timings.prefill / 1000);
    decode.observe(labels, timings.decode / 1000);
    firstToken.observe(labels, first);
    genAiFirst.observe(genAi, first);
    if (latency.perToken === undefined) return;
    const each = latency.perToken / 1000;
    perToken.observe(labels, each);
    genAiPerToken.observe(genAi, each);
  }

  return {
    contentType: set.contentType,
    async text(models, asked) {
      await lookAtEngines(models, asked);
      return await set.text();
    },
    loaded: (model, seconds) => load.observe({ model_name: model }, seconds),
    fetched(model, kind, bytes, seconds) {
      fetchedBytes.inc({ model_name: model, kind }, bytes);
      fetchTime.observe({ model_name: model, kind }, seconds);
    },
    tokens(model, ms, tokens) {
      for (let token = 0; token < tokens; token++) interToken.observe({ model_name: model }, ms / 1000);
    },
    end(record) {
      const { method, route, status, error, generation } = record;
      answers.inc({ method, route, status });
      if (!generation) return;
      const labels = { model_name: generation.model };
      const genAi = { gen_ai_operation_name: generation.operation, gen_ai_request_model: generation.model };
      if (error) failures.inc({ ...labels, code: error });
      promptTokens.inc(labels, generation.promptTokens);
      cachedTokens.inc(labels, generation.cachedTokens);
      madeTokens.inc(labels, generation.completionTokens);
      promptLength.observe(labels, generation.promptTokens);
      whole.observe(labels, record.ms / 1000);
      genAiDuration.observe({ ...genAi, error_type: error ?? '' }, record.ms / 1000);
      genAiTokens.observe({ ...genAi, gen_ai_token_type: 'input' }, generation.promptTokens);
      genAiTokens.observe({ ...genAi, gen_ai_token_type: 'output' }, generation.completionTokens);
      for (const completion of generation.completions) noteCompletion(record, completion);
    },
  };
}

function processMetrics(set: MetricSet): void {
  set.reading(
    'process_resident_memory_bytes',
    'Resident memory size in bytes.',
    'gauge',
    process.memoryUsage.rss,
  );
  set.reading(
    'nodejs_heap_size_used_bytes',
    "JavaScript's heap in use.",
    'gauge',
    () => process.memoryUsage().heapUsed,
  );
  set.reading(
    'process_cpu_seconds_total',
    'Total user and system CPU time spent in seconds.',
    'counter',
    () => {
      const { user, system } = process.cpuUsage();
      return (user + system) / 1e6;
    },
  );
  set.reading(
    'process_start_time_seconds',
    'Start time of the process since the Unix epoch in seconds.',
    'gauge',
    () => performance.timeOrigin / 1000,
  );
}
