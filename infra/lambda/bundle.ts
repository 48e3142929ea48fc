/**
 * The function's code as Lambda unpacks it: one bundle of JavaScript, and of the native parts the one
 * architecture it runs on.
 */
import { cp, mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { build } from 'esbuild';
import { fetchPackage } from './fetch-package.ts';

export type Architecture = 'x64' | 'arm64';

/** Bytes. Lambda refuses an unpacked zip beyond this. */
export const unpackedLimit = 250 * 1024 * 1024;

const root = join(import.meta.dirname, '../..');

/** Packages that stay packages: their files are looked for at run time. */
const external = ['koffi', 'onnxruntime-node', '@mlc-ai/web-xgrammar'];

/**
 * Makes the function's folder, new each time.
 * @returns the folder
 */
export async function bundleFunction(folder: string, architecture: Architecture): Promise<string> {
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
  await build({
    // Threads are started by their file's name: each has to lie beside the code that does so.
    entryPoints: {
      index: join(root, 'functions/lambda/index.ts'),
      worker: join(root, 'functions/engine/worker.ts'),
      thread: join(root, 'functions/engine/grammar/thread.ts'),
    },
    outdir: folder,
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: 'node22',
    external,
    minify: true,
    keepNames: true,
    sourcemap: false,
    legalComments: 'linked',
    logLevel: 'warning',
    // Some dependencies are CommonJS and ask for Node's modules by `require`.
    banner: {
      js: "import { createRequire as foldgateRequire } from 'node:module'; const require = foldgateRequire(import.meta.url);",
    },
  });
  await writeFile(join(folder, 'package.json'), '{"type":"module"}\n');
  // Read at run time, from beside the code.
  await cp(join(root, 'functions/gateway/playground/page'), join(folder, 'page'), { recursive: true });
  // The shared library alone: Foldgate calls it without the package's own JavaScript.
  const library = join('bin/napi-v6/linux', architecture, 'libonnxruntime.so.1');
  await copyFiles('onnxruntime-node', join(folder, 'node_modules'), ['package.json', library]);
  await copyKoffi(join(folder, 'node_modules'), architecture);
  await copyFiles('@mlc-ai/web-xgrammar', join(folder, 'node_modules'), ['package.json', 'lib/index.js']);
  return folder;
}

/** Bytes of all files below a folder. */
export async function sizeOf(folder: string): Promise<number> {
  let bytes = 0;
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    if (entry.isFile()) bytes += (await stat(join(entry.parentPath, entry.name))).size;
  }
  return bytes;
}

/** Files of a package that is installed here. */
async function copyFiles(name: string, modules: string, files: string[]): Promise<void> {
  for (const file of files) await cp(join(root, 'node_modules', name, file), join(modules, name, file));
}

/** koffi's JavaScript without its C++ sources, and its addon for glibc. */
async function copyKoffi(modules: string, architecture: Architecture): Promise<void> {
  const source = join(root, 'node_modules/koffi');
  await copyFiles('koffi', modules, ['package.json', 'LICENSE.txt', 'index.js', 'index.cjs']);
  const code = join('src', 'koffi');
  for (const file of await readdir(join(source, code), { recursive: true })) {
    if (/\.c?js$/.test(file)) await cp(join(source, code, file), join(modules, 'koffi', code, file));
  }
  const name = `@koromix/koffi-linux-${architecture}`;
  const { version } = JSON.parse(await readFile(join(source, 'package.json'), 'utf8'));
  const native = await fetchPackage(root, name, version);
  for (const file of ['package.json', 'index.js', `linux_${architecture}/koffi.node`]) {
    await cp(join(native, file), join(modules, name, file));
  }
}
