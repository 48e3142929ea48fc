import type { Log } from '../functions/gateway/observe/log.ts';
import type { Metrics } from '../functions/gateway/observe/metrics.ts';
import type { RequestObserver } from '../functions/gateway/observe/observer.ts';
import type { Traces } from '../functions/gateway/observe/tracing.ts';
import packageJson from '../package.json' with { type: 'json' };
import type { ServerSettings } from './settings/serve-settings.ts';

const stderr = 2;

export interface Telemetry extends AsyncDisposable {
  log: Log;
  /** Whether lines are for people. */
  isText: boolean;
  metrics: Metrics;
  observers: RequestObserver[];
}

/**
 * The log, metrics and traces that the settings ask for. What is not asked for is not loaded.
 * @throws FoldgateError where a package is not installed
 */
export async function telemetry(settings: ServerSettings): Promise<Telemetry> {
  const { logFormat, logLevel } = settings;
  const isText = logFormat === 'text' || (logFormat === 'auto' && process.stderr.isTTY === true);
  const [log, { prometheusMetrics }, { requestLog }, traces] = await Promise.all([
    isText ? textLogTo(logLevel) : jsonLogTo(logLevel),
    import('../functions/gateway/observe/prometheus.ts'),
    import('../functions/gateway/observe/request-log.ts'),
    tracesTo(settings.traces),
  ]);
  return {
    log,
    isText,
    metrics: prometheusMetrics(),
    observers: [requestLog(log), ...(traces ? [traces] : [])],
    async [Symbol.asyncDispose]() {
      await traces?.[Symbol.asyncDispose]();
    },
  };
}

async function textLogTo(level: ServerSettings['logLevel']): Promise<Log> {
  const { textLog } = await import('../functions/gateway/observe/log.ts');
  return textLog(level, (line) => process.stderr.write(line));
}

async function jsonLogTo(level: ServerSettings['logLevel']): Promise<Log> {
  const { jsonLog } = await import('../functions/gateway/observe/json-log.ts');
  return jsonLog(level, stderr);
}

async function tracesTo(url: string | undefined): Promise<Traces | undefined> {
  if (url === undefined) return undefined;
  const { otlpTraces } = await import('../functions/gateway/observe/tracing.ts');
  return await otlpTraces({ url, version: packageJson.version });
}
