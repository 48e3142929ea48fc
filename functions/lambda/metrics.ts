/** Metrics as CloudWatch reads them out of log lines (Embedded Metric Format): no calls, no permissions. */

/** CloudWatch's namespace of all metrics below; the dashboard and the alarms name it. */
export const metricNamespace = 'Foldgate';

export type Unit = 'Milliseconds' | 'Count' | 'Bytes';

/** A log line whose numbers become metrics of the model; `properties` stay in the log alone. */
export function metricLine(
  model: string,
  metrics: Record<string, [value: number, unit: Unit]>,
  properties: Record<string, unknown> = {},
): string {
  const entries = Object.entries(metrics);
  const description = {
    Timestamp: Date.now(),
    CloudWatchMetrics: [
      {
        Namespace: metricNamespace,
        Dimensions: [['Model']],
        Metrics: entries.map(([Name, [, Unit]]) => ({ Name, Unit })),
      },
    ],
  };
  const values = Object.fromEntries(entries.map(([name, [value]]) => [name, Math.round(value * 10) / 10]));
  return JSON.stringify({ _aws: description, Model: model, ...values, ...properties });
}
