import type { IDeployment } from 'kubernetes-models/apps/v1';
import type { IContainer, IEnvVar } from 'kubernetes-models/v1';
import type { CacheType } from '../../artifact/decoder/decoder-options.ts';

type Metadata = NonNullable<IDeployment['metadata']>;

/** What every form of a fleet has in common. */
export interface Fleet {
  /** The model's name in its store, which requests use. */
  model: string;
  /** `s3://BUCKET/PREFIX`; a claim's mount for `file:`. */
  store: string;
  image: string;
  /** Whole cores of one server: threads that share theirs with others wait for each other. */
  cores: number;
  /** Bytes, of one server. */
  memory: number;
  /** Bytes of its disk: blobs are memory-mapped from there. */
  disk: number;
  /** Sequences that one server runs at once; further ones wait. */
  slots: number;
  /** What keys and values are kept in. */
  kvCache: CacheType;
  replicas: { least: number; most: number };
  /** May read the store: an account bound to a cloud's role. @default the namespace's own */
  serviceAccount?: string | undefined;
  /** A secret with a file `api-keys`. @default none: whoever reaches the server may ask */
  keysSecret?: string | undefined;
}

export const port = 8080;
const keysFolder = '/etc/foldgate';
export const cacheFolder = '/var/cache/foldgate';

/** Seconds. Requests may run so long after a server was told to stop, and a little is left to it for the rest. */
const drainSeconds = 60;
export const graceSeconds = drainSeconds + 15;

/** Kubernetes takes lower-case letters, digits and dashes; models' names may have others. */
export function resourceName(model: string): string {
  const name = model.toLowerCase().replace(/[^a-z0-9]+/g, '-');
  return `foldgate-${name}`.slice(0, 63).replace(/-+$/, '');
}

export function labels({ model }: Fleet): Record<string, string> {
  return { 'app.kubernetes.io/name': 'foldgate', 'app.kubernetes.io/instance': resourceName(model) };
}

export function metadata(fleet: Fleet): Metadata {
  return { name: resourceName(fleet.model), labels: labels(fleet) };
}

/** The server in its container, as all forms run it. */
export function serverContainer(fleet: Fleet): IContainer {
  return {
    name: 'server',
    image: fleet.image,
    args: ['serve'],
    ports: [{ name: 'http1', containerPort: port }],
    env: environment(fleet),
    resources: {
      requests: {
        cpu: String(fleet.cores),
        memory: mebibytes(fleet.memory),
        'ephemeral-storage': mebibytes(fleet.disk),
      },
      // No limit of the processor: one that is throttled holds up all threads of a step.
      limits: { memory: mebibytes(fleet.memory), 'ephemeral-storage': mebibytes(fleet.disk) },
    },
    ...probes,
    securityContext: {
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      runAsNonRoot: true,
      capabilities: { drop: ['ALL'] },
      seccompProfile: { type: 'RuntimeDefault' },
    },
    volumeMounts: [
      { name: 'cache', mountPath: cacheFolder },
      ...(fleet.keysSecret ? [{ name: 'api-keys', mountPath: keysFolder, readOnly: true }] : []),
    ],
  };
}

/** Volumes that `serverContainer` mounts. */
export function volumes({ disk, keysSecret }: Fleet) {
  return [
    { name: 'cache', emptyDir: { sizeLimit: mebibytes(disk) } },
    ...(keysSecret ? [{ name: 'api-keys', secret: { secretName: keysSecret } }] : []),
  ];
}

/**
 * `/healthz` answers as long as the process lives, `/readyz` once the model can. A model may take minutes to arrive, in
 * which the process lives well: readiness waits for it, liveness does not end it.
 */
const probes: Pick<IContainer, 'livenessProbe' | 'readinessProbe'> = {
  livenessProbe: {
    httpGet: { path: '/healthz', port },
    periodSeconds: 10,
    timeoutSeconds: 5,
    failureThreshold: 6,
  },
  readinessProbe: { httpGet: { path: '/readyz', port }, periodSeconds: 2, timeoutSeconds: 2 },
};

function environment(fleet: Fleet): IEnvVar[] {
  const settings: Record<string, string> = {
    FOLDGATE_STORE: fleet.store,
    FOLDGATE_MODEL: fleet.model,
    FOLDGATE_SLOTS: String(fleet.slots),
    FOLDGATE_KV_CACHE: fleet.kvCache,
    FOLDGATE_THREADS: String(fleet.cores),
    FOLDGATE_DRAIN: `${drainSeconds}s`,
    ...(fleet.keysSecret && { FOLDGATE_API_KEYS: `${keysFolder}/api-keys` }),
  };
  return Object.entries(settings).map(([name, value]) => ({ name, value }));
}

export function mebibytes(bytes: number): string {
  return `${Math.ceil(bytes / 1024 / 1024)}Mi`;
}
