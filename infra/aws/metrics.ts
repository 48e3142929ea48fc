import { Duration } from 'aws-cdk-lib';
import { type IMetric, Metric, Stats, Unit } from 'aws-cdk-lib/aws-cloudwatch';
import type { Alias } from 'aws-cdk-lib/aws-lambda';
import { metricNamespace } from '../../functions/lambda/metrics.ts';

const period = Duration.minutes(5);

/** What there is to see of a served model: Lambda's own metrics, and those of its log lines. */
export interface ServedMetrics {
  invocations: Metric;
  /** Invocations that failed outside of the gateway: the process ended, or ran out of time or memory. */
  crashes: Metric;
  throttles: Metric;
  concurrency: Metric;
  /** Share of the environments kept warm that are in use. */
  provisionedUse: Metric;
  /** Answers with a status of 500 and above. */
  serverErrors: Metric;
  /** Milliseconds until an answer begins. */
  firstByte(percentile: number): IMetric;
  duration(percentile: number): IMetric;
  coldStarts: Metric;
  coldPhase(phase: string): IMetric;
}

export function servedMetrics(live: Alias, model: string): ServedMetrics {
  const own = (metricName: string, statistic: string) =>
    new Metric({
      namespace: metricNamespace,
      metricName,
      dimensionsMap: { Model: model },
      statistic,
      period,
    });
  return {
    invocations: live.metricInvocations({ period }),
    crashes: live.metricErrors({ period }),
    throttles: live.metricThrottles({ period }),
    concurrency: live.metric('ConcurrentExecutions', { period, statistic: Stats.MAXIMUM }),
    provisionedUse: live.metric('ProvisionedConcurrencyUtilization', { period, statistic: Stats.MAXIMUM }),
    serverErrors: own('ServerErrors', Stats.SUM),
    firstByte: (percentile) => own('FirstByte', Stats.percentile(percentile)),
    duration: (percentile) => own('Duration', Stats.percentile(percentile)),
    coldStarts: own('ColdStart_total', Stats.SAMPLE_COUNT).with({ unit: Unit.MILLISECONDS }),
    coldPhase: (phase) => own(`ColdStart_${phase}`, Stats.AVERAGE),
  };
}
