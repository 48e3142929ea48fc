import type { Stack } from 'aws-cdk-lib';
import { Alarm, ComparisonOperator, type IMetric, TreatMissingData } from 'aws-cdk-lib/aws-cloudwatch';
import { SnsAction } from 'aws-cdk-lib/aws-cloudwatch-actions';
import { PolicyStatement, ServicePrincipal } from 'aws-cdk-lib/aws-iam';
import { Topic } from 'aws-cdk-lib/aws-sns';
import { EmailSubscription } from 'aws-cdk-lib/aws-sns-subscriptions';
import { accept } from './accepted.ts';
import type { ServedMetrics } from './metrics.ts';
import type { Settings } from './settings.ts';

/** Milliseconds. A cold start of a model of some hundred megabytes is below; a warm answer far below. */
const slowFirstByteMs = 20_000;

interface AlarmSettings {
  metric: IMetric;
  /** In five minutes, unless the metric says otherwise. */
  above: number;
  /** Of the last three periods, so many must be above. */
  periods?: number;
  /** What is wrong and where to look; docs/runbook.md has more. */
  says: string;
}

/** Alarms, each with what it means; mailed where an address is given. */
export function addAlarms(stack: Stack, metrics: ServedMetrics, settings: Settings): void {
  const topic = settings.alarmEmail === undefined ? undefined : mailTo(stack, settings.alarmEmail);
  const alarms: Record<string, AlarmSettings> = {
    Crashes: {
      metric: metrics.crashes,
      above: 0,
      says: 'The function died or ran out of time or memory: see "Status: timeout" and "Runtime exited" in its log.',
    },
    ServerErrors: {
      metric: metrics.serverErrors,
      above: 5,
      says: 'Answers with a status of 500 and above: the log has each with its cause. Was a version just published?',
    },
    Throttles: {
      metric: metrics.throttles,
      above: 0,
      says: "Requests were turned away: all environments that maxConcurrency or the account's limit allows were busy.",
    },
    SlowAnswers: {
      metric: metrics.firstByte(95),
      above: slowFirstByteMs,
      periods: 3,
      says: 'One answer of twenty took more than 20 s to begin: many cold starts, long prompts, or too little memory.',
    },
  };
  for (const [id, { metric, above, periods = 1, says }] of Object.entries(alarms)) {
    const alarm = new Alarm(stack, id, {
      metric,
      threshold: above,
      comparisonOperator: ComparisonOperator.GREATER_THAN_THRESHOLD,
      evaluationPeriods: 3,
      datapointsToAlarm: periods,
      treatMissingData: TreatMissingData.NOT_BREACHING,
      alarmDescription: `Foldgate, ${settings.served.name}: ${says}`,
    });
    if (topic) alarm.addAlarmAction(new SnsAction(topic));
  }
}

function mailTo(stack: Stack, address: string): Topic {
  const topic = new Topic(stack, 'AlarmTopic', { enforceSSL: true });
  topic.addSubscription(new EmailSubscription(address));
  accept(topic, { 'Serverless-SNSRedrivePolicy': 'A mail that cannot be sent has no other place to go.' });
  topic.addToResourcePolicy(
    new PolicyStatement({
      actions: ['sns:Publish'],
      principals: [new ServicePrincipal('cloudwatch.amazonaws.com')],
      resources: [topic.topicArn],
      conditions: { StringEquals: { 'aws:SourceAccount': stack.account } },
    }),
  );
  return topic;
}
