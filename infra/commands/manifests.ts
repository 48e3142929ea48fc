/** Prints the Kubernetes resources of a fleet; `--help` says how. */
import { parseArgs } from 'node:util';
import { stringify } from 'yaml';
import { type CacheType, cacheTypes, graphOf } from '../../artifact/decoder/decoder-options.ts';
import { FoldgateError } from '../../artifact/errors.ts';
import { readManifest } from '../../artifact/models/read.ts';
import { servedDiskOf, servedMemoryOf } from '../../artifact/served-memory.ts';
import { openModelUrl } from '../../artifact/store/open.ts';
import { parseModelUrl } from '../../artifact/store/url.ts';
import { deployment } from '../kubernetes/deployment.ts';
import type { Fleet } from '../kubernetes/fleet.ts';
import { foldJob } from '../kubernetes/fold-job.ts';
import { inferencePool } from '../kubernetes/inference-pool.ts';
import { cloudRun, knative } from '../kubernetes/knative.ts';
import { kserve } from '../kubernetes/kserve.ts';

const fleets = { deployment, knative, 'cloud-run': cloudRun, kserve, 'inference-pool': inferencePool };
type Kind = keyof typeof fleets;

const help = `Prints Kubernetes resources as YAML.

Usage: npm run --silent manifests -- --model s3://BUCKET/PREFIX/NAME --image IMAGE [options]
       npm run --silent manifests -- --kind fold-job --checkpoint hf:ORG/NAME --model s3://... --image IMAGE [options] [-- FOLD OPTIONS]

  --kind <kind>         ${[...Object.keys(fleets), 'fold-job'].join(', ')} (default: deployment)
  --model <url>         the folded model; of a fold-job, where it goes
  --manifest <url>      where the model can be read now, if not there: a folder of this machine
  --image <image>       from infra/container/Dockerfile
  --cores <count>       of one server or job (default: 2; fold-job: 8)
  --slots <count>       sequences at once in one server (default: 4)
  --kv-cache <type>     what keys and values are kept in: float32 or int8 (default: float32)
  --tokens <count>      of all conversations that a server's memory holds (default: slots x 2048)
  --memory <GiB>        of a fold-job (default: 16)
  --disk <GiB>          of a fold-job (default: 64)
  --min, --max <count>  servers (default: 1, 10)
  --service-account <name>   may read the store, or write it
  --keys-secret <name>       a secret with a file api-keys, as "foldgate keys" makes it
`;

const gibibyte = 1024 ** 3;
/** A chunk of text, several conversations' garbage: what a server's memory is above its reckoned need. */
const memoryReserve = 1.25;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    kind: { type: 'string', default: 'deployment' },
    model: { type: 'string' },
    manifest: { type: 'string' },
    image: { type: 'string' },
    checkpoint: { type: 'string' },
    cores: { type: 'string' },
    slots: { type: 'string', default: '4' },
    'kv-cache': { type: 'string', default: 'float32' },
    tokens: { type: 'string' },
    memory: { type: 'string', default: '16' },
    disk: { type: 'string', default: '64' },
    min: { type: 'string', default: '1' },
    max: { type: 'string', default: '10' },
    'service-account': { type: 'string' },
    'keys-secret': { type: 'string' },
    help: { type: 'boolean', default: false },
  },
});

try {
  if (values.help) process.stdout.write(help);
  else print(values.kind === 'fold-job' ? job() : fleets[kindOf(values.kind)](await fleet()));
} catch (error) {
  if (!(error instanceof FoldgateError)) throw error;
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 1;
}

// A reader that has enough (`| head`) is no error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
});

function print(resources: object[]): void {
  for (const resource of resources) {
    if ('validate' in resource) (resource as { validate(): void }).validate();
    // Through JSON: the models' own properties alone, without aliases for what is there twice.
    process.stdout.write(
      `---\n${stringify(JSON.parse(JSON.stringify(resource)), { aliasDuplicateObjects: false })}`,
    );
  }
}

async function fleet(): Promise<Fleet> {
  const model = given('model');
  const { storeUrl, name } = parseModelUrl(model);
  const readable = await openModelUrl(values.manifest ?? model);
  const { manifest } = await readManifest(readable.store, readable.name);
  const kvCache = cacheType();
  graphOf(manifest, kvCache); // tells of scales that are missing
  const slots = count('slots');
  const tokens = values.tokens === undefined ? slots * 2048 : count('tokens');
  return {
    model: name,
    store: storeUrl,
    image: given('image'),
    cores: values.cores === undefined ? 2 : count('cores'),
    memory: servedMemoryOf(manifest, tokens, kvCache) * memoryReserve,
    disk: servedDiskOf(manifest),
    slots,
    kvCache,
    replicas: { least: count('min', 0), most: count('max') },
    serviceAccount: values['service-account'],
    keysSecret: values['keys-secret'],
  };
}

function job() {
  return foldJob({
    checkpoint: given('checkpoint'),
    out: given('model'),
    options: positionals,
    image: given('image'),
    cores: values.cores === undefined ? 8 : count('cores'),
    memory: count('memory') * gibibyte,
    disk: count('disk') * gibibyte,
    serviceAccount: values['service-account'],
  });
}

function cacheType(): CacheType {
  const given = values['kv-cache'];
  return (
    cacheTypes.find((type) => type === given) ??
    fail(`--kv-cache is ${given}; ${cacheTypes.join(' or ')} is expected.`)
  );
}

function kindOf(kind: string): Kind {
  if (kind in fleets) return kind as Kind;
  return fail(`--kind ${kind} is not known.`);
}

function given(name: 'model' | 'image' | 'checkpoint'): string {
  return values[name] ?? fail(`--${name} is missing.`);
}

function count(name: 'cores' | 'slots' | 'tokens' | 'memory' | 'disk' | 'min' | 'max', least = 1): number {
  const value = Number(values[name]);
  if (Number.isSafeInteger(value) && value >= least) return value;
  return fail(`--${name} is ${values[name]}; a whole number from ${least} on is expected.`);
}

function fail(message: string): never {
  process.stderr.write(`${message}\n\n${help}`);
  process.exit(2);
}
