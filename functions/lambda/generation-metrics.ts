import type { RequestObserver } from '../gateway/observe/observer.ts';
import { latencyOf } from '../gateway/observe/request-record.ts';
import { metricLine } from './metrics.ts';

/**
 * A line of metrics for each request that made text: what `/metrics` of a server tells of it. The environment of a
 * function may be gone before anybody could ask it.
 */
export function generationMetrics(print: (line: string) => void): RequestObserver {
  return {
    end({ requestId, generation }) {
      const first = generation?.completions[0];
      const latency = first && latencyOf(generation, first);
      if (!generation || !latency) return;
      print(
        metricLine(
          generation.model,
          {
            PromptTokens: [generation.promptTokens, 'Count'],
            CachedTokens: [generation.cachedTokens, 'Count'],
            CompletionTokens: [generation.completionTokens, 'Count'],
            QueueTime: [latency.queue, 'Milliseconds'],
            TimeToFirstToken: [latency.firstToken, 'Milliseconds'],
            ...(latency.perToken !== undefined && {
              TimePerOutputToken: [latency.perToken, 'Milliseconds'],
            }),
          },
          { gatewayRequestId: requestId },
        ),
      );
    },
  };
}
