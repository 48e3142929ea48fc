import type { InferenceService, ServingRuntime } from './custom.ts';
import { type Fleet, graceSeconds, metadata, serverContainer, volumes } from './fleet.ts';

const format = { name: 'foldgate', version: '1' };

/** Seconds. The longest answer. */
const answerSeconds = 900;

/**
 * KServe's runtime for folded models and a model that it serves. The server fetches the model itself rather than by
 * KServe's initializer: the blobs of this one model alone, in parallel, and those of new versions as they come.
 */
export function kserve(fleet: Fleet): [ServingRuntime, InferenceService] {
  const { env = [], ...container } = serverContainer(fleet);
  const ofModel = new Set(['FOLDGATE_STORE', 'FOLDGATE_MODEL']);
  const { name, labels } = metadata(fleet);
  return [
    {
      apiVersion: 'serving.kserve.io/v1alpha1',
      kind: 'ServingRuntime',
      metadata: { name: `${name}-runtime`, ...(labels && { labels }) },
      spec: {
        supportedModelFormats: [{ ...format, autoSelect: true }],
        protocolVersions: ['openai'],
        // The container that KServe looks for has this name.
        containers: [
          { ...container, name: 'kserve-container', env: env.filter((one) => !ofModel.has(one.name)) },
        ],
        volumes: volumes(fleet),
      },
    },
    {
      apiVersion: 'serving.kserve.io/v1beta1',
      kind: 'InferenceService',
      metadata: metadata(fleet),
      spec: {
        predictor: {
          minReplicas: fleet.replicas.least,
          maxReplicas: fleet.replicas.most,
          scaleMetric: 'concurrency',
          scaleTarget: fleet.slots,
          timeout: answerSeconds,
          terminationGracePeriodSeconds: graceSeconds,
          ...(fleet.serviceAccount && { serviceAccountName: fleet.serviceAccount }),
          model: {
            modelFormat: format,
            runtime: `${name}-runtime`,
            protocolVersion: 'openai',
            env: [
              { name: 'FOLDGATE_STORE', value: fleet.store },
              { name: 'FOLDGATE_MODEL', value: fleet.model },
            ],
          },
        },
      },
    },
  ];
}
