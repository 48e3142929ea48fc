/** Resources whose types no package brings to TypeScript; the tests hold them against their own schemas. */
import type { IDeployment } from 'kubernetes-models/apps/v1';
import type { IContainer, IVolume } from 'kubernetes-models/v1';

type Metadata = NonNullable<IDeployment['metadata']>;

interface Resource<Group extends string, Kind extends string, Spec> {
  apiVersion: Group;
  kind: Kind;
  metadata: Metadata;
  spec: Spec;
}

/** KServe: how a kind of model is served. */
export type ServingRuntime = Resource<
  'serving.kserve.io/v1alpha1',
  'ServingRuntime',
  {
    annotations?: Record<string, string>;
    supportedModelFormats: { name: string; version?: string; autoSelect?: boolean }[];
    protocolVersions: string[];
    containers: IContainer[];
    volumes?: IVolume[];
  }
>;

/** KServe: one model, served. */
export type InferenceService = Resource<
  'serving.kserve.io/v1beta1',
  'InferenceService',
  {
    predictor: {
      minReplicas: number;
      maxReplicas: number;
      scaleMetric: 'concurrency' | 'rps' | 'cpu' | 'memory';
      scaleTarget: number;
      serviceAccountName?: string;
      timeout: number;
      terminationGracePeriodSeconds?: number;
      model: {
        modelFormat: { name: string; version?: string };
        runtime: string;
        protocolVersion: string;
        env: { name: string; value: string }[];
      };
    };
  }
>;

/** Gateway API Inference Extension: servers that a picker chooses among by their queues and caches. */
export type InferencePool = Resource<
  'inference.networking.k8s.io/v1',
  'InferencePool',
  {
    selector: { matchLabels: Record<string, string> };
    targetPorts: { number: number }[];
    endpointPickerRef: {
      name: string;
      port: { number: number };
      failureMode: 'FailOpen' | 'FailClose';
    };
  }
>;
