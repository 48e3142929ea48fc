import { Job } from 'kubernetes-models/batch/v1';
import { PersistentVolumeClaim } from 'kubernetes-models/v1';
import { cacheFolder, mebibytes, resourceName } from './fleet.ts';

export interface FoldJob {
  /** `hf:ORG/NAME`. */
  checkpoint: string;
  /** Where the folded model goes: `s3://BUCKET/PREFIX/NAME`. */
  out: string;
  /** Further arguments of `foldgate fold`. */
  options: string[];
  image: string;
  cores: number;
  /** Bytes. */
  memory: number;
  /** Bytes: the checkpoint, and the fold's own steps. */
  disk: number;
  /** May write the store. */
  serviceAccount?: string | undefined;
}

/** Times that a job which was evicted or killed is taken up again. */
const tries = 10;

/** Fetches the checkpoint, then folds it: each goes on where it was interrupted. */
export const foldScript = 'exec node bin/foldgate.js fold "$(node bin/foldgate.js pull "$0")" --out "$@"';

/**
 * The fold as a job whose work lies on a volume of its own: a pod that is evicted leaves what it has done, and the next
 * one goes on from there.
 */
export function foldJob(job: FoldJob) {
  const name = `${resourceName(job.out.split('/').at(-1)!)}-fold`.slice(0, 63);
  const metadata = {
    name,
    labels: { 'app.kubernetes.io/name': 'foldgate', 'app.kubernetes.io/component': 'fold' },
  };
  return [
    new PersistentVolumeClaim({
      metadata,
      spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: mebibytes(job.disk) } } },
    }),
    new Job({
      metadata,
      spec: {
        backoffLimit: tries,
        // What the cluster did to a pod is no failure of the job; wrong usage is one for good.
        podFailurePolicy: {
          rules: [
            { action: 'Ignore', onPodConditions: [{ type: 'DisruptionTarget', status: 'True' }] },
            { action: 'FailJob', onExitCodes: { containerName: 'fold', operator: 'In', values: [2] } },
          ],
        },
        template: {
          metadata: { labels: metadata.labels },
          spec: {
            restartPolicy: 'Never',
            ...(job.serviceAccount && { serviceAccountName: job.serviceAccount }),
            securityContext: { fsGroup: 1000 },
            containers: [
              {
                name: 'fold',
                image: job.image,
                command: ['sh', '-c', foldScript, job.checkpoint, job.out, ...job.options],
                resources: {
                  requests: { cpu: String(job.cores), memory: mebibytes(job.memory) },
                  limits: { memory: mebibytes(job.memory) },
                },
                securityContext: {
                  allowPrivilegeEscalation: false,
                  readOnlyRootFilesystem: true,
                  runAsNonRoot: true,
                  capabilities: { drop: ['ALL'] },
                  seccompProfile: { type: 'RuntimeDefault' },
                },
                volumeMounts: [{ name: 'work', mountPath: cacheFolder }],
              },
            ],
            volumes: [{ name: 'work', persistentVolumeClaim: { claimName: name } }],
          },
        },
      },
    }),
  ];
}
