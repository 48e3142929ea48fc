import type { RequestObserver } from '../gateway/observe/observer.ts';
import { metricLine } from './metrics.ts';

/**
 * A line of metrics for each request that made text: what `/metrics` of a server tells of it. The environment of a
 * function may be gone before anybody could ask it.
 */
export function generationMetrics(print: (line: string) => void): RequestObserver {
  return {
    end({ requestId, generation }) {
      const timings = generation?.completions[0]?.timings;
      if (!generation || !timings) return;
      const queue = generation.loadMs + timings.queue;
      const tokens = generation.completions[0]!.tokens;
      print(
        metricLine(
          generation.model,
          {
            PromptTokens: [generation.promptTokens, 'Count'],
            CachedTokens: [generation.cachedTokens, 'Count'],
            CompletionTokens: [generation.completionTokens, 'Count'],
            QueueTime: [queue, 'Milliseconds'],
            TimeToFirstToken: [queue + timings.prefill, 'Milliseconds'],
            ...(tokens > 1 && { TimePerOutputToken: [timings.decode / (tokens - 1), 'Milliseconds'] }),
          },
          { gatewayRequestId: requestId },
        ),
      );
    },
  };
}
