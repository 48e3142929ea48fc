import { Deployment } from 'kubernetes-models/apps/v1';
import { HorizontalPodAutoscaler } from 'kubernetes-models/autoscaling/v2';
import { PodDisruptionBudget } from 'kubernetes-models/policy/v1';
import { Service } from 'kubernetes-models/v1';
import { type Fleet, graceSeconds, labels, metadata, port, serverContainer, volumes } from './fleet.ts';

/** Completions that may wait at one server, on average, before there is another one. */
const waitingPerServer = 1;

/** Seconds without a need for a server before it goes: its model had to be fetched. */
const calmSeconds = 300;

/** A Deployment that grows with the completions that wait, behind a Service. */
export function deployment(fleet: Fleet) {
  const { least, most } = fleet.replicas;
  const { name } = metadata(fleet);
  return [
    new Deployment({
      metadata: metadata(fleet),
      spec: {
        selector: { matchLabels: labels(fleet) },
        // A new one is ready before an old one goes.
        strategy: { type: 'RollingUpdate', rollingUpdate: { maxUnavailable: 0, maxSurge: 1 } },
        template: {
          metadata: {
            labels: labels(fleet),
            annotations: { 'prometheus.io/scrape': 'true', 'prometheus.io/port': String(port) },
          },
          spec: {
            ...(fleet.serviceAccount && { serviceAccountName: fleet.serviceAccount }),
            terminationGracePeriodSeconds: graceSeconds,
            securityContext: { fsGroup: 1000 },
            containers: [serverContainer(fleet)],
            volumes: volumes(fleet),
          },
        },
      },
    }),
    new Service({
      metadata: metadata(fleet),
      spec: { selector: labels(fleet), ports: [{ name: 'http', port: 80, targetPort: port }] },
    }),
    new HorizontalPodAutoscaler({
      metadata: metadata(fleet),
      spec: {
        scaleTargetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: name! },
        minReplicas: Math.max(1, least),
        maxReplicas: most,
        metrics: [
          {
            type: 'Pods',
            pods: {
              // As the Prometheus adapter names `foldgate:num_requests_waiting` (docs/runbook.md).
              metric: { name: 'foldgate_num_requests_waiting' },
              target: { type: 'AverageValue', averageValue: String(waitingPerServer) },
            },
          },
        ],
        behavior: { scaleDown: { stabilizationWindowSeconds: calmSeconds } },
      },
    }),
    ...(least > 1
      ? [
          new PodDisruptionBudget({
            metadata: metadata(fleet),
            spec: { selector: { matchLabels: labels(fleet) }, maxUnavailable: 1 },
          }),
        ]
      : []),
  ];
}
