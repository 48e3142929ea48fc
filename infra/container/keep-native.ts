/**
 * Removes what other platforms need from an installed node_modules: ONNX Runtime brings its library for all, koffi its
 * addon for two C libraries and its sources.
 *   node keep-native.ts node_modules
 */
import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';

const modules = process.argv[2];
if (modules === undefined || process.platform !== 'linux') {
  throw new Error('Usage, on Linux: node keep-native.ts NODE_MODULES');
}
const { arch } = process;

/** Keeps in a folder what `keep` says. */
function prune(folder: string, keep: (name: string) => boolean): void {
  for (const name of readdirSync(folder)) {
    if (!keep(name)) rmSync(join(folder, name), { recursive: true });
  }
}

const runtime = join(modules, 'onnxruntime-node/bin/napi-v6');
prune(runtime, (name) => name === 'linux');
prune(join(runtime, 'linux'), (name) => name === arch);
prune(join(runtime, 'linux', arch), (name) => name === 'libonnxruntime.so.1');
prune(join(modules, 'koffi'), (name) => !['doc', 'lib', 'vendor', 'cnoke.cjs'].includes(name));
prune(join(modules, '@koromix'), (name) => name === `koffi-linux-${arch}`);
prune(join(modules, `@koromix/koffi-linux-${arch}`), (name) => !name.startsWith('musl_'));
