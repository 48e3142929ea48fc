import { execFile, execFileSync } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { z } from 'zod';
import { openCheckpoint } from '../../../compressor/checkpoint/open.ts';
import { foldInto } from '../../../test/fixtures/fold-into.ts';
import { picoPath } from '../../../test/fixtures/pico.ts';
import { tool } from '../fixtures/tools.ts';

const run = promisify(execFile);
const command = join(import.meta.dirname, '../../commands/manifests.ts');

interface Resource {
  apiVersion: string;
  kind: string;
  // biome-ignore lint/suspicious/noExplicitAny: looked into by the tests
  spec: any;
}

/** Those that the API server knows by itself. */
const isCore = ({ apiVersion }: Resource) =>
  /^(v1|apps\/v1|batch\/v1|autoscaling\/v2|policy\/v1)$/.test(apiVersion);

let folder: string;
let manifest: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'foldgate-manifests-'));
  const checkpoint = await openCheckpoint(picoPath('llama'));
  await foldInto(folder, checkpoint);
  await checkpoint.close();
  manifest = `file:${folder}/store/pico`;
});

afterAll(() => rm(folder, { recursive: true, force: true }));

async function print(...args: string[]): Promise<Resource[]> {
  const model = ['--model', 's3://bucket/models/Pico_1', '--image', 'registry.example/foldgate:1'];
  const { stdout } = await run(process.execPath, [command, ...model, '--manifest', manifest, ...args]);
  return parseAllDocuments(stdout).map((document) => document.toJSON());
}

/** Throws with what `kubernetes-validate` says. */
async function validate(resources: Resource[]): Promise<void> {
  const file = join(folder, `${resources[0]!.kind}.json`);
  for (const resource of resources) {
    await writeFile(file, JSON.stringify(resource));
    await run(tool('kubernetes-validate'), ['--strict', file]);
  }
}

describe.each(['deployment', 'inference-pool', 'fold-job'])('%s', (kind) => {
  it('is what the API server takes', async () => {
    const resources = await print(
      '--kind',
      kind,
      '--checkpoint',
      'hf:a/b',
      '--min',
      '2',
      '--keys-secret',
      'keys',
    );
    const core = resources.filter(isCore);
    expect(core.length).toBeGreaterThan(1);
    await validate(core);
  });
});

it('a field that is none is found', async () => {
  const [deployment] = await print();
  deployment!.spec.template.spec.containers[0].readynessProbe = {};
  await expect(validate([deployment!])).rejects.toThrow();
});

describe('a server', () => {
  it('is probed, sized by its manifest, and drained', async () => {
    const [deployment] = await print('--slots', '2', '--cores', '3', '--service-account', 'reader');
    const { template } = deployment!.spec;
    const [container] = template.spec.containers;
    expect(container.readinessProbe.httpGet).toEqual({ path: '/readyz', port: 8080 });
    expect(container.livenessProbe.httpGet).toEqual({ path: '/healthz', port: 8080 });
    // A pico model: what Node and the runtime take, and a quarter.
    const [, mebibytes] = /^(\d+)Mi$/.exec(container.resources.requests.memory)!;
    expect(Number(mebibytes)).toBeGreaterThan(150);
    expect(Number(mebibytes)).toBeLessThan(250);
    expect(container.resources.limits.memory).toBe(container.resources.requests.memory);
    expect(container.resources.requests.cpu).toBe('3');
    expect(
      Object.fromEntries(container.env.map((one: { name: string; value: string }) => [one.name, one.value])),
    ).toEqual({
      FOLDGATE_STORE: 's3://bucket/models',
      FOLDGATE_MODEL: 'Pico_1',
      FOLDGATE_SLOTS: '2',
      FOLDGATE_KV_CACHE: 'float32',
      FOLDGATE_THREADS: '3',
      FOLDGATE_DRAIN: '60s',
    });
    expect(template.spec.terminationGracePeriodSeconds).toBeGreaterThan(60);
    expect(template.spec.serviceAccountName).toBe('reader');
  });

  it('takes the settings that foldgate serve knows', async () => {
    const [deployment] = await print('--keys-secret', 'keys');
    const [container] = deployment!.spec.template.spec.containers;
    const help = execFileSync(process.execPath, [
      join(import.meta.dirname, '../../../bin/foldgate.js'),
      'serve',
      '--help',
    ]);
    for (const { name } of container.env) {
      const flag = `--${name.replace('FOLDGATE_', '').toLowerCase().replaceAll('_', '-')}`;
      expect(help.toString()).toContain(`${flag} <`);
    }
  });

  it('scales with the completions that wait', async () => {
    const resources = await print('--min', '2', '--max', '7');
    const autoscaler = resources.find(({ kind }) => kind === 'HorizontalPodAutoscaler')!;
    expect(autoscaler.spec).toMatchObject({ minReplicas: 2, maxReplicas: 7 });
    expect(autoscaler.spec.metrics[0].pods.metric.name).toBe('foldgate_num_requests_waiting');
    expect(autoscaler.spec.scaleTargetRef.name).toBe('foldgate-pico-1');
  });
});

describe('a service of Knative', () => {
  it('lets no more in than run and wait', async () => {
    const [service] = await print('--kind', 'knative', '--slots', '3', '--min', '0');
    expect(service!.apiVersion).toBe('serving.knative.dev/v1');
    expect(service!.spec.template.spec.containerConcurrency).toBe(6);
    expect(service!.spec.template.metadata.annotations['autoscaling.knative.dev/min-scale']).toBe('0');
  });

  it('counts its disk as memory on Cloud Run', async () => {
    const [service] = await print('--kind', 'cloud-run');
    const [container] = service!.spec.template.spec.containers;
    expect(container.securityContext).toBeUndefined();
    expect(Object.keys(container.resources)).toEqual(['limits']);
    expect(service!.spec.template.spec.volumes[0].emptyDir.medium).toBe('Memory');
  });
});

describe('KServe', () => {
  it('has a runtime and a service of it, by its own package', async () => {
    const resources = await print('--kind', 'kserve');
    expect(resources.map(({ kind }) => kind)).toEqual(['ServingRuntime', 'InferenceService']);
    await expect(check(resources)).resolves.toBeDefined();
    const [runtime, service] = resources;
    expect(service!.spec.predictor.model.runtime).toBe('foldgate-pico-1-runtime');
    expect(runtime!.spec.containers[0].name).toBe('kserve-container');
    expect(runtime!.spec.protocolVersions).toContain(service!.spec.predictor.model.protocolVersion);
  });

  it('would refuse what it does not know', async () => {
    const [, service] = await print('--kind', 'kserve');
    service!.spec.predictor.model.modelUri = 's3://x';
    await expect(check([service!])).rejects.toThrow(/modelUri is no field of V1beta1ModelSpec/);
  });

  /** KServe's package lies where `npm run infra:install` put it. */
  async function check(resources: Resource[]) {
    const python = tool('python');
    const { stdout } = await run(python, ['-c', 'import sysconfig; print(sysconfig.get_path("purelib"))']);
    const input = join(folder, 'kserve.json');
    await writeFile(input, JSON.stringify(resources));
    const script = join(import.meta.dirname, 'check-kserve.py');
    return await run('sh', ['-c', '"$0" "$1" "$2" < "$3"', python, script, stdout.trim(), input]);
  }
});

it('a pool of the Gateway API Inference Extension is what its version 1 takes', async () => {
  const name = z
    .string()
    .regex(/^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/)
    .max(63);
  const portNumber = z.strictObject({ number: z.int().min(1).max(65_535) });
  const label = z
    .string()
    .regex(/^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$/)
    .max(63);
  const schema = z.strictObject({
    apiVersion: z.literal('inference.networking.k8s.io/v1'),
    kind: z.literal('InferencePool'),
    metadata: z.object({ name }),
    spec: z.strictObject({
      selector: z.strictObject({ matchLabels: z.record(z.string(), label) }),
      targetPorts: z.array(portNumber).length(1),
      endpointPickerRef: z.strictObject({
        name,
        port: portNumber,
        failureMode: z.enum(['FailOpen', 'FailClose']),
      }),
    }),
  });
  const resources = await print('--kind', 'inference-pool');
  const pool = schema.parse(resources.find(({ kind }) => kind === 'InferencePool'));
  const deployment = resources.find(({ kind }) => kind === 'Deployment')!;
  expect(deployment.spec.template.metadata.labels).toMatchObject(pool.spec.selector.matchLabels);
});

describe('a job that folds', () => {
  it('keeps its work on a volume, and is taken up again when it is evicted', async () => {
    const args = ['--kind', 'fold-job', '--checkpoint', 'hf:org/name', '--', '--remove', '0.2'];
    const [claim, job] = await print(...args);
    expect(claim!.kind).toBe('PersistentVolumeClaim');
    const { spec } = job!.spec.template;
    expect(spec.containers[0].command.slice(3)).toEqual([
      'hf:org/name',
      's3://bucket/models/Pico_1',
      '--remove',
      '0.2',
    ]);
    expect(spec.containers[0].volumeMounts).toEqual([{ name: 'work', mountPath: '/var/cache/foldgate' }]);
    expect(job!.spec.backoffLimit).toBeGreaterThan(1);
    expect(JSON.stringify(job!.spec.podFailurePolicy)).toContain('DisruptionTarget');
  });
});

it.each([
  [['--kind', 'carrier-pigeon'], /--kind carrier-pigeon is not known/],
  [['--slots', '0'], /--slots is 0; a whole number from 1 on/],
  [['--kv-cache', 'int4'], /--kv-cache is int4; float32 or int8 is expected/],
  [['--kv-cache', 'int8'], /has no scales for an int8 cache/],
  [['--manifest', 'file:/nowhere/at-all'], /There is no model at-all/],
])('%j is refused with what would do', async (args, message) => {
  await expect(print(...args)).rejects.toThrow(message);
});
