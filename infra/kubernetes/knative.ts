import { Service } from '@kubernetes-models/knative/serving.knative.dev/v1';
import type { IContainer, IVolume } from 'kubernetes-models/v1';
import { type Fleet, mebibytes, metadata, serverContainer, volumes } from './fleet.ts';

/** Seconds. The longest answer; Cloud Run allows up to an hour. */
const answerSeconds = 900;

/** A service of Knative, that comes and goes with its requests. */
export function knative(fleet: Fleet) {
  return [service(fleet, serverContainer(fleet), volumes(fleet), {})];
}

/**
 * A service of Cloud Run, which speaks Knative's language with fewer words. Its disk is memory: the blobs are counted
 * with the rest.
 */
export function cloudRun(fleet: Fleet) {
  const { securityContext: _, resources: __, ...container } = serverContainer(fleet);
  const cache = { name: 'cache', emptyDir: { medium: 'Memory', sizeLimit: mebibytes(fleet.disk) } };
  const others = volumes(fleet).filter(({ name }) => name !== cache.name);
  const limits = { cpu: String(fleet.cores), memory: mebibytes(fleet.memory + fleet.disk) };
  const annotations = {
    'run.googleapis.com/execution-environment': 'gen2',
    // The start has more of the processor, and what follows an answer still has it.
    'run.googleapis.com/startup-cpu-boost': 'true',
    'run.googleapis.com/cpu-throttling': 'false',
  };
  return [service(fleet, { ...container, resources: { limits } }, [cache, ...others], annotations)];
}

function service(
  fleet: Fleet,
  container: IContainer,
  volumes: IVolume[],
  annotations: Record<string, string>,
): Service {
  const { least, most } = fleet.replicas;
  return new Service({
    metadata: metadata(fleet),
    spec: {
      template: {
        metadata: {
          annotations: {
            'autoscaling.knative.dev/min-scale': String(least),
            'autoscaling.knative.dev/max-scale': String(most),
            // Requests at once: more than run together would wait in one server while others could start.
            'autoscaling.knative.dev/metric': 'concurrency',
            'autoscaling.knative.dev/target': String(fleet.slots),
            'autoscaling.knative.dev/target-utilization-percentage': '100',
            ...annotations,
          },
        },
        spec: {
          // A queue of the same length behind those that run.
          containerConcurrency: 2 * fleet.slots,
          timeoutSeconds: answerSeconds,
          ...(fleet.serviceAccount && { serviceAccountName: fleet.serviceAccount }),
          containers: [container],
          volumes,
        },
      },
    },
  });
}
