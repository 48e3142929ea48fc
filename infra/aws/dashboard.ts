import { CfnOutput, type Stack } from 'aws-cdk-lib';
import { Dashboard, GraphWidget, type IMetric, TextWidget } from 'aws-cdk-lib/aws-cloudwatch';
import type { ServedMetrics } from './metrics.ts';

/** Columns of a dashboard, which has 24. */
const half = 12;

/** The phases of a cold start, in the order they come. */
const phases = ['init', 'manifest', 'blobs', 'session', 'first_token'];

/** One page: is it used, does it fail, how fast is it, what do cold starts cost. */
export function addDashboard(stack: Stack, metrics: ServedMetrics, model: string): void {
  const graph = (title: string, left: IMetric[], stacked = false) =>
    new GraphWidget({ title, left, stacked, width: half, leftYAxis: { min: 0 } });
  const dashboard = new Dashboard(stack, 'Dashboard', { dashboardName: `${stack.stackName}-dashboard` });
  dashboard.addWidgets(
    new TextWidget({ markdown: `# Foldgate: ${model}`, width: 2 * half, height: 1 }),
    graph('Requests', [metrics.invocations, metrics.coldStarts]),
    graph('Failures', [metrics.crashes, metrics.serverErrors, metrics.throttles]),
    graph('Time to the first byte, ms', [50, 95].map(metrics.firstByte)),
    graph('Time to the end, ms', [50, 95].map(metrics.duration)),
    graph('Environments', [metrics.concurrency, metrics.provisionedUse]),
    graph('Cold start by phase, ms', phases.map(metrics.coldPhase), true),
  );
  new CfnOutput(stack, 'DashboardName', { value: dashboard.dashboardName });
}
