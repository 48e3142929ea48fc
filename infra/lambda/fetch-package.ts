import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/**
 * The folder of a package that npm leaves out on this machine, since it is for another one. What npm installed
 * is taken as it is; else it is fetched once into the checkout's cache.
 * @throws where npm cannot fetch it
 */
export async function fetchPackage(root: string, name: string, version: string): Promise<string> {
  const installed = join(root, 'node_modules', name);
  if (existsSync(join(installed, 'package.json'))) return installed;
  const folder = join(root, '.cache/packages', `${name.replaceAll('/', '-')}-${version}`);
  const unpacked = join(folder, 'package');
  if (existsSync(unpacked)) return unpacked;
  const temporary = `${folder}.${process.pid}`;
  await mkdir(temporary, { recursive: true });
  try {
    const args = ['pack', `${name}@${version}`, '--pack-destination', temporary, '--json'];
    const { stdout } = await run('npm', args, { cwd: root });
    const [{ filename }] = JSON.parse(stdout);
    await run('tar', ['-xzf', join(temporary, filename), '-C', temporary]);
    // Where another process was faster, its copy is as good.
    await rename(temporary, folder).catch((error) => {
      if (!existsSync(unpacked)) throw error;
    });
  } finally {
    await rm(temporary, { recursive: true, force: true });
  }
  return unpacked;
}
