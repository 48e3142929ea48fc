import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The folder of this package: two levels apart in a checkout and in a built package. */
export function packageRoot(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  // dist has a package.json of its own for the version; only the package's root has the launcher.
  while (!existsSync(join(folder, 'bin', 'foldgate.js'))) folder = dirname(folder);
  return folder;
}
