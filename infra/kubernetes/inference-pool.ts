import type { InferencePool } from './custom.ts';
import { deployment } from './deployment.ts';
import { type Fleet, labels, metadata, port } from './fleet.ts';

/** Where the endpoint picker listens, by its chart's default. */
const pickerPort = 9002;

/**
 * The Deployment as a pool of the Gateway API Inference Extension. Its endpoint picker reads each server's queue and
 * cache from `/metrics`, by the names that vLLM gave them, and sends prompts with a common beginning to one server.
 */
export function inferencePool(fleet: Fleet) {
  const pool: InferencePool = {
    apiVersion: 'inference.networking.k8s.io/v1',
    kind: 'InferencePool',
    metadata: metadata(fleet),
    spec: {
      selector: { matchLabels: labels(fleet) },
      targetPorts: [{ number: port }],
      // Without its picker the pool is a plain Service.
      endpointPickerRef: {
        name: `${metadata(fleet).name}-epp`,
        port: { number: pickerPort },
        failureMode: 'FailOpen',
      },
    },
  };
  return [...deployment(fleet), pool];
}
